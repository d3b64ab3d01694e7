// Package wasm runs one attempt of one function in a fresh sandbox.
//
// A function is a WASI preview 1 command: its event arrives on standard input, its result leaves on standard output, its
// log on standard error, and exit code 0 is success. Or it is a reactor, which exports deed_run, of type () -> i32, and its
// memory: _initialize is called when there is one, then deed_run, whose result is the exit code. Every attempt gets a new
// instance, so nothing a guest leaves behind is seen by another. A guest has no network, no files but those of its function,
// which it can only read (see mount), and no clock and no chance but those it is given: the clock starts at Attempt.Start
// and moves by clockStep with each reading and by what the guest slept; random bytes come from Attempt.Seed. The same module,
// files and attempt give the same bytes, also of floating-point numbers: every NaN that arithmetic gives is made the same one.
//
// What a reactor's initialisation leaves behind is kept and used again, if it is sound to: see snapshot. Its clock and its
// random bytes are the same in every attempt.
//
// A module may use WebAssembly 2.0 (with SIMD) and extended constant expressions. Exception handling is off, because every
// try block that is entered copies the guest's stack to the host; so are threads, tail calls and garbage-collected types.
//
// Modules are not trusted. Before the engine sees one, walk holds every count in it against the bytes that are there and
// against limits of our own: an engine that allocates by a claimed count can be killed by fourteen bytes. Limits of an
// attempt bound its wall time, its linear memory and its output. What they do not bound: a guest that recurses until its
// stack overflows holds up to 400 MB of the host until its attempt ends, so whoever calls Run bounds how many run at once.
//
// This is the only package that imports wazero, and no type of wazero is in its surface.
package wasm
