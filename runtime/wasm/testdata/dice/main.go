// Dice prints all that a program could learn of the world: clocks, chance, arguments, environment and files.
package main

import (
	crypto "crypto/rand"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

func main() {
	began := time.Now()
	time.Sleep(time.Microsecond)
	b := make([]byte, 16)
	crypto.Read(b)
	order := ""
	for k := range map[string]int{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5} {
		order += k
	}
	_, err := os.Open("/etc/passwd")
	_, err2 := os.ReadDir(".")
	fmt.Println(began.UTC().Format(time.RFC3339), time.Since(began), b, rand.Uint64(), order, os.Args, os.Environ())
	fmt.Println(err != nil, err2 != nil)
}
