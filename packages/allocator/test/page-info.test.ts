import { describe, expect, it } from "vitest";
import {
  hasObjects,
  MARK_BITS_LIMIT,
  makePageInfo,
  markBitsOf,
  markWordOf,
  PAGE_INFO_NONE,
  PAGE_INFO_OBJECTS,
  spanClassOf,
} from "../src/page-info.ts";

describe("pageInfo", () => {
  it.each([64 << 10, (64 << 10) + 8, (1 << 26) + 128, MARK_BITS_LIMIT - 8])(
    "of a page of objects gives back the span class and mark bits at %d",
    (markBits) => {
      for (const spanclass of [0, 1, 2, 135]) {
        const info = makePageInfo(markBits, spanclass);
        expect(info).toBe(markBits * 32 + spanclass);
        expect(hasObjects(info)).toBe(true);
        expect([spanClassOf(info), markBitsOf(info), markWordOf(info)]).toEqual([
          spanclass,
          markBits,
          markBits / 4,
        ]);
      }
    },
  );

  it("of any other page is below that of every page of objects", () => {
    expect([hasObjects(0), hasObjects(PAGE_INFO_NONE)]).toEqual([false, false]);
    expect(makePageInfo(8, 0)).toBe(PAGE_INFO_OBJECTS);
    expect(hasObjects(PAGE_INFO_OBJECTS)).toBe(true);
  });
});
