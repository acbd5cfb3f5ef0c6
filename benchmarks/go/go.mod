module gort.dev/benchmarks

go 1.25
