// @thi.ng/malloc: an allocator in TypeScript over a typed array. It searches a list of blocks from its start. With
// thousands of blocks in use an operation takes tens of microseconds, so the trace leaves it out.
import { MemPool } from "@thi.ng/malloc";
import { manualCases } from "../cases/manual.ts";

const pool = new MemPool({ size: 64 * 2 ** 20 });

export const cases = manualCases(
  (size) => pool.malloc(size),
  (p) => pool.free(p),
);
