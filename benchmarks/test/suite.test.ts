import { describe, expect, it } from "vitest";
import { select, suite } from "../src/suite.ts";

describe("the suite", () => {
  it("has names that stay", () => {
    expect(suite.map((b) => b.name)).toEqual([
      "Malloc16",
      "MallocP32",
      "Malloc1K",
      "Malloc8Tiny",
      "Malloc64K",
      "MallocFragmented16",
      "MallocCompact16",
      "MallocFragmentedP32",
      "MallocCompactP32",
      "MallocFragmented1K",
      "MallocCompact1K",
      "MallocFree16",
      "MallocFreeTrace",
      "GoroutineSpawn",
      "Gosched",
      "ChanUnbuffered",
      "ChanBuffered100",
      "ChanBuffered100Try",
      "Select2",
      "Select4",
      "PrimeSieve2000",
      "MarkAllocOrder",
      "MarkRandom",
      "MarkAllocOrderJS",
      "MarkAllocOrderWasm",
      "MarkRandomJS",
      "MarkRandomWasm",
      "BinaryTrees18",
      "BinaryTrees20",
      "HeapChanUnbuffered",
      "HeapChanBuffered100",
      "HeapChanSharedUnbuffered",
      "HeapChanSharedBuffered100",
      "HeapChanAcrossThreads",
      "HeapChanAcrossThreads100",
      "HeapChanBatched",
      "WakeRoundTrip",
      "AtomicRoundTrip",
      "ParallelSum2",
      "WordCount2",
      "MallocTwoThreads16",
      "MallocTwoThreads1K",
      "MarkTwoThreads",
      "BinaryTrees18P2",
      "WorkerReady",
      "ReadMemStats",
      "Caller",
      "Callers8",
      "CallersFrames32",
      "Stack32",
      "StackAll1000",
      "StackAll1000Fresh",
      "BlockEvents",
      "BlockEventsSampled",
      "ProfileCustom",
    ]);
  });

  it("marks 2^23-1 objects, and 2^20-1 with --quick", () => {
    for (const { n, quickN } of select("^Mark")) expect([n, quickN]).toEqual([8388607, 1048575]);
  });

  it("is selected by a regular expression, in its own order", () => {
    expect(select("Select|^Malloc1K$").map((b) => b.name)).toEqual(["Malloc1K", "Select2", "Select4"]);
    expect(select(undefined)).toBe(suite);
    expect(select("nothing")).toEqual([]);
    expect(() => select("(")).toThrow(SyntaxError);
  });
});
