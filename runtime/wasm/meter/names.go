package meter

import (
	"cmp"
	"slices"
)

// named is a function and its name.
type named struct {
	f    uint32
	name []byte
}

// appendNames writes a name section of functions, renumbered, with names for what was added: traps are told with them.
// Names of other things are left out, and so is all of a section that is malformed, which is no error of a module.
func (w *rewriter) appendNames(out []byte) []byte {
	all := w.functionNames()
	all = append(all, named{w.more(), []byte(ImportModule + "." + ImportMore)})
	for i, h := range w.helpers {
		all = append(all, named{uint32(len(w.functions) + 1 + i), []byte(h.name)})
	}
	slices.SortStableFunc(all, func(a, b named) int { return cmp.Compare(a.f, b.f) })
	names := appendU(nil, len(all))
	for _, n := range all {
		names = appendBytes(appendU(names, n.f), n.name)
	}
	return appendSection(out, 0, appendBytes(append(appendName(nil, "name"), 1), names))
}

// functionNames are those that the module came with.
func (w *rewriter) functionNames() []named {
	r := &reader{b: w.names}
	for r.more() {
		id, part := r.byte(), &reader{b: r.bytes()}
		if id != 1 || r.err != nil {
			continue
		}
		var all []named
		for range part.count() {
			f, name := part.index("function", len(w.functions)), part.bytes()
			if part.err != nil {
				return nil
			}
			all = append(all, named{w.moved(f), name})
		}
		return all
	}
	return nil
}
