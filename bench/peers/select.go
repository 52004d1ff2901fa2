// SPDX-License-Identifier: MIT
// The workload `select` of bench/peer for Go: of four channels with an item each one is chosen, and gets its item back.
// Usage: select select PROCS N (arguments and line of JSON as bench/peer's).
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) < 4 || os.Args[1] != "select" {
		fmt.Fprintln(os.Stderr, "usage: select select PROCS N")
		os.Exit(2)
	}
	procs, _ := strconv.Atoi(os.Args[2])
	n, _ := strconv.Atoi(os.Args[3])
	runtime.GOMAXPROCS(procs)
	var c [4]chan int
	for i := range c {
		c[i] = make(chan int, 1)
		c[i] <- 1
	}
	taken := 0
	start := time.Now()
	for i := 0; i < n; i++ {
		select {
		case v := <-c[0]:
			taken += v
			c[0] <- 1
		case v := <-c[1]:
			taken += v
			c[1] <- 1
		case v := <-c[2]:
			taken += v
			c[2] <- 1
		case v := <-c[3]:
			taken += v
			c[3] <- 1
		}
	}
	ns := float64(time.Since(start).Nanoseconds()) / float64(n)
	ok := 0
	if taken == n {
		ok = 1
	}
	fmt.Printf("{\"peer\":\"go\",\"bench\":\"select\",\"procs\":%d,\"n\":%d,\"ns_per_op\":%g,\"extra\":{\"ok\":%d}}\n",
		procs, n, ns, ok)
}
