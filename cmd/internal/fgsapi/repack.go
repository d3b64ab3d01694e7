package fgsapi

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"

	"deed/runtime/files"
)

// repack is the code of a function as an archive that unpack takes for the same. It is a fault where there is none: the module
// would have to have the name of one of the files.
func repack(module []byte, tree *files.Tree) ([]byte, error) {
	if _, taken := tree.Node(entryPoints[0]); taken {
		return nil, fault("FSS.0500", fmt.Sprintf("the function has a file %s, which an archive has for the module: the code cannot be given in one", entryPoints[0]))
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	write := func(name string, content []byte) error {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(content)
		}
		return err
	}
	err := write(entryPoints[0], module)
	var each func(dir *files.Node)
	each = func(dir *files.Node) {
		for _, n := range dir.Entries {
			if n.Dir {
				err = errors.Join(err, write(n.Path+"/", nil))
				each(n)
			} else {
				err = errors.Join(err, write(n.Path, n.Content))
			}
		}
	}
	each(tree.Root())
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("pack the code: %w", err)
	}
	return out.Bytes(), nil
}
