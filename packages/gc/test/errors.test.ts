import { expect, it } from "vitest";
import { hex, isFatalError, outOfMemory, throwFatal } from "../src/errors.ts";

it.each([
  ["a broken rule", () => throwFatal("gc: broken", "by 1"), "ERR_GORT_THROW", "gc: broken", "by 1"],
  [
    "a full memory",
    () => outOfMemory("gc: no room"),
    "ERR_GORT_OUT_OF_MEMORY",
    "runtime: out of memory",
    "gc: no room",
  ],
])("%s is a throw, with its numbers as the detail", (_, fail, code, message, detail) => {
  let error: unknown;
  try {
    fail();
  } catch (err) {
    error = err;
  }
  expect(isFatalError(error)).toBe(true);
  expect(error).toMatchObject({ kind: "throw", code, message, detail });
});

it("an address is printed as Go prints pointers, above 2 GiB too", () => {
  expect([0, 0xc000, 0xc000_0010, 0xc000_0010 | 0].map(hex)).toEqual([
    "0x0",
    "0xc000",
    "0xc0000010",
    "0xc0000010",
  ]);
});
