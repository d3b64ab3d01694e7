package fgs

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
)

// TestFilesOfAnArchive: what an archive holds besides the module, the function reads; and the code comes back whole.
func TestFilesOfAnArchive(t *testing.T) {
	_, c := of(t)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	add := func(name string, content []byte) error {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(content)
		}
		return err
	}
	if err := errors.Join(add("words.txt", []byte("one\n{\"k\":\"v\"}\n")), add("index.wasm", module(t, "words")), w.Close()); err != nil {
		t.Fatal(err)
	}
	urn := c.create(t, nameOf(t, "f"), b.Bytes())
	ask := func(urn string) string {
		t.Helper()
		r, _ := c.v1(t, urn, object{"k": "v"}, false)
		return *r.Result
	}
	if got := ask(urn); got != "2 {\"k\":\"v\"}\n" {
		t.Errorf("result %q", got)
	}
	shown, err := c.ShowFunctionCode(&model.ShowFunctionCodeRequest{FunctionUrn: urn})
	if err != nil {
		t.Fatal(err)
	}
	code, err := base64.StdEncoding.DecodeString(*shown.FuncCode.File)
	if err != nil {
		t.Fatal(err)
	}
	if again := c.create(t, nameOf(t, "g"), code); ask(again) != ask(urn) {
		t.Error("the code that was shown is another function")
	}
}
