// Package meter rewrites a WebAssembly module so that it counts what it executes, asks the host for leave to go on, and
// bounds its recursion. It works on bytes alone; what runs the module is the caller's.
//
// # How to run a metered module
//
// Provide a host module [ImportModule] with a function [ImportMore]: (i64) -> i64. A module begins without fuel, so its
// first instructions call it; its start function is metered, too. The function is given what is left in [Fuel] and answers
// how much to add. What is left is below zero; or it is not, between the parts of an instruction that copies or fills much
// memory, and then 0 is an answer like any other. What is used at any time is the sum of all answers, less [Fuel].
//
// Answer in slices of a millisecond, so that the guest can be stopped and the host's garbage collector gets in: between two
// pauses, a guest that calls nothing of the host executes at most a slice, and what is between two checks. A million units
// take a millisecond or less in usual code, but a hundred times as long where each instruction touches memory that the kernel
// has yet to make: look at the clock, and make slices smaller that take long. Usual code is looked at every 10 to 30
// instructions; the most that a function of 1 MiB can do in between, by calling others that are not looked at, is some tens
// of milliseconds. Never grant more than the budget in all: the last slice is what is left of it. When it is spent, or the
// guest must stop for another reason, panic in the function; or answer 0 when it has nothing left, and the guest traps by
// unreachable.
//
// After a call, whatever it ended in, tell apart in this order:
//
//   - [Room] is below zero: the guest went too deep, a trap with the words "stack overflow".
//   - What was used is more than the budget: it ran out of fuel, also if it ended well. Both globals may be read after a
//     trap. That verdict, and the figure, do not depend on how large the slices are.
//   - Anything else is the guest's own doing, also if [Fuel] is below zero and the budget is not spent.
//
// An instance that trapped has Room that was not given back: set it to Options.Stack before calling it again.
//
// # What is charged
//
// Every instruction has a cost; see [CostVersion] for when figures can be compared. Bulk instructions pay for their length
// before they run, and growing pays for what was given, after it. A call that returns has paid exactly for the instructions
// executed, not more and not less, on any engine. Code that certainly follows is paid for ahead, so an execution that
// traps, or leaves by a function of the host such as proc_exit, may have paid for the rest of its active functions too: as
// much on any engine, and no more than those functions have instructions. Running out is noticed where the counter is
// looked at: in loops, at the start of functions, and in instructions that pay for a length.
//
// # What a metered module cannot do
//
// It cannot reach what was added: indices beyond its own are refused, and so are an import of ImportMore and exports named
// Fuel or Room. What was invalid stays invalid, except that names that are malformed are left out. Custom sections are left
// out, but for the names of functions. Functions of a module without names are told of in traps by their index, which for
// those that it has itself is one more than before.
package meter
