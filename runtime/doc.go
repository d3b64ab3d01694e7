// Package runtime acts: worker owns partitions and runs what was decided, wasm runs one attempt in a sandbox, sink tells one
// kind of outside party. There is no code here, so that nothing fights the standard library's runtime.
package runtime
