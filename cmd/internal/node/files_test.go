package node

import (
	"context"
	"testing"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/runtime/files"
	"deed/runtime/worker"
)

// wordList is a function's files: one list.
func wordList(t *testing.T, words string) *files.Tree {
	t.Helper()
	var b files.Builder
	if err := b.File("words.txt", []byte(words)); err != nil {
		t.Fatal(err)
	}
	tree, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// A request runs with the files that it was accepted with, whatever is deployed since and however often the node begins
// again; and a deployment that names no files has none.
func TestFilesArePinned(t *testing.T) {
	data, f := t.TempDir(), domain.NativeFunction("words")
	module := build(t, "words")
	ask := func(n *Node, version string) domain.InvocationID {
		t.Helper()
		a, err := n.Door.Accept(t.Context(), door.Call{Function: f, Qualifier: version, Event: []byte("a")})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	put := func(n *Node, tree *files.Tree) domain.Files {
		t.Helper()
		now, err := n.Door.Deploy(t.Context(), f, door.Code{Module: module, Files: tree}, domain.DefaultLimits(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return now.Head.Files
	}
	idle, err := Open(t.Context(), Config{Data: data, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[domain.InvocationID]string{}
	one := put(idle, wordList(t, "apple\n"))
	want[ask(idle, "")] = "1 apple\n"
	two := put(idle, wordList(t, "banana\n"))
	want[ask(idle, "")] = "1 banana\n"
	want[ask(idle, "1")] = "1 apple\n"
	if three := put(idle, nil); one.None() || one == two || !three.None() {
		t.Errorf("files %v, %v and then %v", one, two, three)
	}
	missing := ask(idle, "")
	if again := put(idle, wordList(t, "apple\n")); again != one {
		t.Errorf("the same files are %v and %v", one, again)
	}
	if err := idle.Close(); err != nil { // nothing has run yet
		t.Fatal(err)
	}
	for range 2 {
		n, stop := runningUntil(t, Config{Data: data})
		want[ask(n, "2")] = "1 banana\n"
		for id, result := range want {
			row, err := n.Door.Wait(t.Context(), id)
			if err != nil || row.State.Outcome != domain.Succeeded {
				t.Fatalf("%v %+v", err, row.State)
			}
			if got, err := n.Door.Result(t.Context(), row); err != nil || string(got) != result {
				t.Errorf("version %s: %q %v, want %q", row.State.Version, got, err, result)
			}
		}
		if row, err := n.Door.Wait(t.Context(), missing); err != nil || row.State.Kind != domain.FailedExit || !row.State.Files.None() {
			t.Errorf("without files: %v %+v", err, row.State)
		}
		if size := n.engine.files.Size(); size == 0 {
			t.Error("no files are kept")
		}
		stop()
	}
}

// Files that are not in the store are waited for: an attempt is not begun without them, and none is spent.
func TestFilesThatAreMissing(t *testing.T) {
	n := running(t, Config{})
	f := domain.NativeFunction("words")
	kept, err := n.Door.Keep(t.Context(), door.Code{Module: build(t, "words"), Files: wordList(t, "apple\n")}, domain.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	other := wordList(t, "cherry\n").Archive()
	kept.Files.Digest, kept.Files.Size = domain.DigestOf(other), int64(len(other))
	if err := n.Door.Note(t.Context(), domain.FunctionDeployed{
		Function: f, Version: "1", Code: kept.Code, Size: kept.Size, Files: kept.Files, Limits: domain.DefaultLimits(),
	}); err != nil {
		t.Fatal(err)
	}
	a, err := n.Door.Invoke(t.Context(), f, []byte("cherry"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.engine.Load(context.Background(), worker.Code{Module: kept.Code, Files: kept.Files}); err == nil {
		t.Fatal("loaded what is not there")
	}
	if _, err := n.blobs.Put(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	row, err := n.Door.Wait(t.Context(), a.ID)
	if err != nil || row.State.Outcome != domain.Succeeded || row.State.Started != 1 {
		t.Errorf("%v %+v", err, row.State)
	}
}
