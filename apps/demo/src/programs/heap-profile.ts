/** The program `heap-profile`: many small objects from two call sites, for `go tool pprof`. */
import {
  defaultRuntime,
  gc,
  int,
  main,
  memProfile,
  memProfileRate,
  newObject,
  pointer,
  type Ref,
  struct,
  syscall,
} from "@gort/runtime";
import { writeProfileFile } from "@gort/runtime/pprof";
import { fileOption, numberOption } from "../options.ts";
import type { Program } from "../program.ts";

const OBJECTS = 100_000;

export const heapProfileProgram: Program = {
  name: "heap-profile",
  about: `${OBJECTS} small objects from two call sites, written as a profile for go tool pprof`,
  options: [
    { flags: "--out <file>", about: "File to write (heap.pprof)" },
    { flags: "--rate <bytes>", about: "Bytes between samples, on average; 1 records every object (4096)" },
  ],
  async run(given, screen) {
    const out = fileOption(given, "out") ?? "heap.pprof";
    const rate = numberOption(given, "rate", 4096, 1, true);
    // Set the rate before the first allocation: a profile with two rates could not be scaled.
    memProfileRate(rate);
    await main(function* heapProfile() {
      const leaves = growLeaves(OBJECTS / 2);
      const branches = growBranches(OBJECTS / 2);
      // A profile shows the heap as the last collection found it.
      gc();
      yield* syscall(writeProfileFile("heap", out));
      leaves?.release();
      branches?.release();
    });
    const { n } = memProfile(null, true);
    screen.note(`${OBJECTS} objects, sampled once in ${rate} bytes: ${n} records`);
    screen.note(`written to ${out}; look at it with: go tool pprof -top ${out}`);
    screen.note(defaultRuntime().summary());
  },
};

const Leaf = struct("Leaf", {
  value: int,
  get next() {
    return pointer(Leaf);
  },
});

const Branch = struct("Branch", {
  left: pointer(Leaf),
  right: pointer(Leaf),
  value: int,
  get next() {
    return pointer(Branch);
  },
});

/** A list of n objects of 16 bytes. */
function growLeaves(n: number): Ref<typeof Leaf> | null {
  let list: Ref<typeof Leaf> | null = null;
  for (let i = 0; i < n; i++) {
    const leaf = newObject(Leaf);
    leaf.value = i;
    leaf.next = list;
    list?.release();
    list = leaf;
  }
  return list;
}

/** A list of n objects of 32 bytes. */
function growBranches(n: number): Ref<typeof Branch> | null {
  let list: Ref<typeof Branch> | null = null;
  for (let i = 0; i < n; i++) {
    const branch = newObject(Branch);
    branch.value = i;
    branch.next = list;
    list?.release();
    list = branch;
  }
  return list;
}
