// Lottery is a reactor that prints what it drew and which time it was, at initialisation and after.
package main

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"time"
)

var (
	began = time.Now()
	drawn = rand.Text()
	level = os.Getenv("LEVEL")
	order = map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true}
)

func main() {}

//go:wasmexport deed_run
func run() int32 {
	time.Sleep(time.Millisecond)
	fmt.Println(drawn, began.UTC().Format(time.RFC3339), level)
	fmt.Println(rand.Text(), time.Now().UTC().Format(time.RFC3339Nano), time.Since(began) > time.Millisecond, os.Getenv("DEED_ATTEMPT"))
	fmt.Println(mathrand.Uint64())
	for i := range order {
		fmt.Print(i)
	}
	return 0
}
