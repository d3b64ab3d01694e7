// Package meter rewrites a WebAssembly module so that it counts what it executes, asks the host for leave to go on, and
// bounds its recursion.
//
// # How to run a metered module
//
// Provide a host module [ImportModule] with one function [ImportMore]: (i64) -> i64. A module begins with no fuel at all,
// so its first instructions call it. It is given what is left in [Fuel], which is below zero, and answers how much to add.
// What is used at any time is the sum of all answers, less [Fuel]. The function is the place to look at deadlines, and the
// only place where a guest that spins lets the garbage collector of the host in: so answer in slices of some milliseconds,
// at most the budget less what was granted. When the budget is spent, or the guest must stop for another reason, panic in
// it, or answer 0: then the guest traps by unreachable.
//
// A guest went over its budget if, and only if, what it used is more than the budget, however it ended: hold the two
// against each other after every call, also after one that succeeded. That verdict, and what was used, do not depend on how
// large the slices are.
package meter
