// Explorer prints all that a guest can find out about its files, and what comes of every try to change one or to get out. As
// a reactor it reads a file while it initialises, too.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// early is what was read at initialisation.
var early = func() string {
	b, err := os.ReadFile("/words.txt")
	if _, stat := os.Stat("/d/deep"); stat != nil {
		return stat.Error()
	}
	if err != nil {
		return err.Error()
	}
	return string(b)
}()

func main() { os.Exit(run()) }

func run() int {
	fmt.Printf("early %q\n", early)
	err := walk("/")
	fmt.Println("walked", err)
	for _, name := range []string{"/words.txt", "words.txt", "/d/../words.txt", "/d/./deep", "/d", "/d/", "/nothing", "/words.txt/", "/words.txt/x", "/none", "/none/x"} {
		b, err := os.ReadFile(name)
		fmt.Printf("read %s: %q %s\n", name, b, number(err))
	}
	f, err := os.Open("/words.txt")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	at, err := f.Seek(-4, io.SeekEnd)
	rest, _ := io.ReadAll(f)
	fmt.Println("seek", at, err, string(rest))
	part := make([]byte, 3)
	n, err := f.ReadAt(part, 4)
	fmt.Println("at", n, err, string(part))
	_, err = f.Write([]byte("x"))
	fmt.Println("write", number(err))
	fmt.Println("truncate", number(f.Truncate(1)))
	fmt.Println("truncate longer", number(f.Truncate(1000)))
	_ = f.Close()
	_, err = f.Read(part)
	fmt.Println("closed", errors.Is(err, fs.ErrClosed))
	for _, flag := range []int{os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_RDONLY | os.O_APPEND, os.O_RDONLY | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL} {
		for _, name := range []string{"/words.txt", "/new", "/d"} {
			f, err := os.OpenFile(name, flag, 0o600)
			fmt.Printf("open %s %#x %s\n", name, flag, number(err))
			_ = f.Close()
		}
	}
	fmt.Println("mkdir", number(os.Mkdir("/e", 0o700)))
	fmt.Println("remove", number(os.Remove("/words.txt")))
	fmt.Println("rename", number(os.Rename("/words.txt", "/d/words.txt")))
	fmt.Println("link", number(os.Link("/words.txt", "/l")))
	fmt.Println("symlink", number(os.Symlink("/etc/passwd", "/l")))
	_, err = os.Readlink("/words.txt")
	fmt.Println("readlink", number(err))
	fmt.Println("times", number(os.Chtimes("/words.txt", time.Unix(1, 0), time.Unix(1, 0))))
	for _, name := range []string{"../etc/passwd", "/../etc/passwd", "/d/../../etc/passwd", "/etc/passwd", "/proc/self/environ", "/dev/stdin"} {
		_, err := os.ReadFile(name)
		fmt.Printf("out by %s: %s\n", name, number(err))
	}
	if err := os.Chdir("/d"); err != nil {
		fmt.Println(err)
	}
	_, err = os.ReadFile("../../../etc/passwd")
	fmt.Println("up from d", number(err))
	var open []*os.File
	for {
		f, err := os.Open("/words.txt")
		if err != nil {
			fmt.Println("opened", len(open), number(err))
			break
		}
		open = append(open, f)
	}
	for _, f := range open {
		_ = f.Close()
	}
	_, err = os.Stat("/d/deep")
	fmt.Println("after", err)
	return 0
}

// number is the error number, which is the same in every version of Go.
func number(err error) string {
	var n syscall.Errno
	if errors.As(err, &n) {
		return fmt.Sprint(int(n))
	}
	return fmt.Sprint(err)
}

// walk prints all that is there, with what is known of it.
func walk(root string) error {
	return fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		s := i.Sys().(*syscall.Stat_t)
		fmt.Println(path, i.Mode().Type(), i.Size(), i.ModTime().UTC().Format(time.DateTime), s.Ino, s.Nlink, s.Dev)
		return nil
	})
}
