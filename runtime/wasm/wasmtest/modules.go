package wasmtest

// The types that every command here has, in this order.
const (
	typeStart = iota // () -> ()
	typeIO           // (i32, i32, i32, i32) -> i32: fd_read, fd_write, poll_oneoff
	typeExit         // (i32) -> ()
	typeBytes        // (i32, i32) -> i32: random_get
	typeClock        // (i32, i64, i32) -> i32: clock_time_get
)

// The functions that every command imports, in this order. _start is Start.
const (
	FdRead = iota
	FdWrite
	ProcExit
	PollOneoff
	RandomGet
	ClockTimeGet
	Start
)

// Command is a module with a memory of that many pages whose _start is the code. It imports the functions above.
func Command(pages uint64, code ...[]byte) []byte { return CommandParts(pages, code...).Bytes() }

// CommandParts is Command, to be changed before it is assembled.
func CommandParts(pages uint64, code ...[]byte) Parts {
	return Parts{
		Types: [][]byte{
			Signature(nil, nil), Signature([]byte{I32, I32, I32, I32}, []byte{I32}), Signature([]byte{I32}, nil),
			Signature([]byte{I32, I32}, []byte{I32}), Signature([]byte{I32, I64, I32}, []byte{I32}),
		},
		Imports: [][]byte{
			WASI("fd_read", typeIO), WASI("fd_write", typeIO), WASI("proc_exit", typeExit), WASI("poll_oneoff", typeIO),
			WASI("random_get", typeBytes), WASI("clock_time_get", typeClock),
		},
		Functions: [][]byte{U(typeStart)},
		Memories:  [][]byte{Join([]byte{0}, U(pages))},
		Exports:   [][]byte{Export("_start", Start), Join(Name("memory"), []byte{2, 0})},
		Code:      [][]byte{Body(code...)},
	}
}

// Write writes n bytes at an address to a file descriptor and pushes the error number. It uses bytes 0 to 11.
func Write(fd, at, n int32) []byte {
	return Join(Store(0, Const(at)), Store(4, Const(n)), Const(fd), Const(0), Const(1), Const(8), Call(FdWrite))
}

// Drop drops what was pushed last.
func Drop() []byte { return Op(0x1a) }

// Echo prints its event, in pieces of 64 KiB.
func Echo() []byte {
	return Command(2, Loop(
		Store(0, Const(1<<16)), Store(4, Const(1<<16)),
		Const(0), Const(0), Const(1), Const(8), Call(FdRead), Op(0x0d, 1),
		Load(8), Op(0x45), Op(0x0d, 1),
		Store(4, Load(8)),
		Const(1), Const(0), Const(1), Const(8), Call(FdWrite), Op(0x0d, 1),
		Op(0x0c, 0),
	))
}

// Spin never returns.
func Spin() []byte { return Command(1, Loop(Op(0x0c, 0))) }

// Trap executes an unreachable instruction.
func Trap() []byte { return Command(1, Op(0x00)) }

// Exit exits with that code.
func Exit(code uint32) []byte { return Command(1, Const(int32(code)), Call(ProcExit)) }

// Flaky fails every other attempt, as its randomness has it.
func Flaky() []byte {
	return Command(1, Const(16), Const(4), Call(RandomGet), Drop(), Load(16), Const(1), Op(0x71), Call(ProcExit))
}

// Grow grows its memory page by page until that is refused, and traps.
func Grow() []byte {
	return Command(1, Loop(Const(1), Op(0x40, 0), Const(-1), Op(0x46), Op(0x0d, 1), Op(0x0c, 0)), Op(0x00))
}

// Print prints a text and exits with that code.
func Print(text string, code uint32) []byte {
	p := CommandParts(2, Write(1, 1024, int32(len(text))), Drop(), Const(int32(code)), Call(ProcExit))
	p.Data = [][]byte{Data(1024, text)}
	return p.Bytes()
}

// Flood writes 4 KiB to a file descriptor that many times, whatever comes of it.
func Flood(fd int32, times int32) []byte {
	return Command(2,
		Store(16, Const(times)),
		Loop(
			Load(16), Op(0x45), Op(0x0d, 1),
			Write(fd, 4096, 4096), Drop(),
			Store(16, Join(Load(16), Const(1), Op(0x6b))),
			Op(0x0c, 0),
		))
}

// Sleep sleeps for that many nanoseconds, and exits with code 0.
func Sleep(ns int64) []byte {
	// A subscription of 48 bytes at 64: the clock's event type is 0 at 72, its timeout is at 88.
	at := Join(Const(88), []byte{0x42}, S(ns), []byte{0x37, 3, 0})
	return Command(1, at, Const(64), Const(128), Const(1), Const(8), Call(PollOneoff), Drop())
}

// Recurse calls itself for ever.
func Recurse() []byte { return Command(1, Call(Start), Op(0x00)) }
