package meter

// CostVersion is the version of the figures below and of the rules by which they are charged. Figures of different
// versions must not be compared.
const CostVersion = 1

// What instructions cost, in units of fuel. Most cost one unit: 0.1 ns in tight loops of C, 1 ns in small Go programs.
const (
	costCall     = 4    // of a function of the module
	costIndirect = 8    // of a function in a table
	costHost     = 100  // of a function of the host, in whatever way it is called; in addition to the call
	costDivide   = 8    // integers; also remainders
	costRoot     = 6    // division and square root of floating point numbers
	costBulk     = 16   // memory.copy, memory.fill, memory.init, and those of tables
	costGrow     = 1000 // memory.grow and table.grow, also when they fail

	bytesPerUnit = 8    // of memory.copy, memory.fill and memory.init
	costEntry    = 1    // each entry of table.copy, table.fill, table.init, and of table.grow when it succeeds
	costPage     = 8192 // each page of memory.grow when it succeeds
)

// costs holds the cost of every instruction without a prefix.
var costs = func() (c [256]uint8) {
	for i := range c {
		c[i] = 1
	}
	for _, op := range []int{opNop, opBlock, opLoop, opElse, opEnd} { // they are no code in the end
		c[op] = 0
	}
	c[opCall] = costCall
	c[opCallIndirect] = costIndirect
	for op := 0x6d; op <= 0x70; op++ { // i32.div_s, div_u, rem_s, rem_u
		c[op] = costDivide
		c[op+0x7f-0x6d] = costDivide // and of i64
	}
	for _, op := range []int{0x91, 0x95, 0x9f, 0xa3} { // f32.sqrt, f32.div, f64.sqrt, f64.div
		c[op] = costRoot
	}
	return c
}()

// cost is what an instruction costs wherever it is. What depends on its operands is charged when it runs.
func (m *module) cost(in instruction) uint64 {
	switch {
	case in.op == opCall && int(in.index) < m.imported:
		return costCall + costHost
	case in.op <= 0xff && in.op != opMemoryGrow:
		return uint64(costs[in.op])
	}
	switch in.op {
	case opMemoryCopy, opMemoryFill, opMemoryInit, opTableCopy, opTableFill, opTableInit:
		return costBulk
	case opMemoryGrow, opTableGrow:
		return costGrow
	case 0xfde3, 0xfde7, 0xfdef, 0xfdf3: // sqrt and div of f32x4 and f64x2
		return costRoot
	}
	return 1
}
