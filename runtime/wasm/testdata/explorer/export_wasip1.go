package main

//go:wasmexport deed_run
func deedRun() int32 { return int32(run()) }
