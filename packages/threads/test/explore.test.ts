import type { LinearMemory } from "@gort/memory";
import { afterEach, describe, expect, it, vi } from "vitest";
import { explore, type Thread } from "./explore.ts";

/** The explorer itself: it must find what is wrong, and must not pass over an interleaving. */

/** Two threads that share words, at an address that the first one gets. */
function pair(
  body: (t: Thread, words: number, other: number) => void,
  end?: (mem: LinearMemory, words: number) => void,
  more: { maxStates?: number; maxSteps?: number } = {},
): ReturnType<typeof explore> {
  let words = 0;
  return explore({
    bodies: [0, 1].map((i) => (t: Thread) => {
      if (i === 0) words = t.alloc(64);
      t.begin();
      body(t, words, 1 - i);
    }),
    ...(end && { end: (e) => end(e.mem, words) }),
    ...more,
  });
}

describe("the explorer", () => {
  afterEach(() => void vi.restoreAllMocks());

  it("finds an update that is lost between a load and a store", () => {
    const add = (t: Thread, words: number): void => t.mem.kernel.store(words, t.mem.kernel.load(words) + 1);
    const end = (mem: LinearMemory, words: number): void => expect(mem.u32[words >>> 2]).toBe(2);
    expect(() => pair(add, end)).toThrow(
      /the end is wrong: expected 1 to be 2[\s\S]*M 1 {2}store 0x[0-9a-f]+ 1: 0/,
    );
    pair((t, words) => void t.mem.kernel.add(words, 1), end);
  });

  it("finds one between plain accesses, but not if a lock guards them", () => {
    const end = (mem: LinearMemory, words: number): void => expect(mem.u32[words >>> 2]).toBe(2);
    expect(() => pair((t, words) => void t.mem.u32[words >>> 2]++, end)).toThrow("expected 1 to be 2");
    const found = pair((t, words) => {
      t.mem.lockOps.acquire(words + 4, 0, 2);
      t.mem.u32[words >>> 2]++;
      t.mem.lockOps.release(words + 4, 2, 0);
    }, end);
    // The lock is the only step of each thread, besides the turn that never comes.
    expect(found).toEqual({ states: 4, ends: 1, complete: true });
  });

  it("tries all orders of independent steps, and visits each state once", () => {
    const three = (t: Thread, words: number, other: number): void => {
      for (let k = 0; k < 3; k++) t.mem.kernel.add(words + 4 * (1 - other), 1);
    };
    const sees = (t: Thread, words: number, other: number): void => {
      three(t, words, other);
      t.mem.kernel.add(words + 4 * other, 4);
    };
    const found = pair(sees, (mem, words) => {
      expect([mem.u32[words >>> 2], mem.u32[(words >>> 2) + 1]]).toEqual([7, 7]);
    });
    expect(found).toMatchObject({ complete: true });
    // 4 steps each: at least all pairs of positions.
    expect(found.states).toBeGreaterThanOrEqual(25);
    // No thread uses a word of the other one: nothing but the ends is a state.
    expect(pair(three).states).toBe(1);
  });

  it("finds a wake-up that is lost", () => {
    const wait = (t: Thread, words: number, other: number): void => {
      if (other === 1) {
        if (t.mem.kernel.load(words) === 0) {
          t.mem.kernel.store(words + 4, 1);
          t.host.wait(t.mem.i32, (words + 4) >>> 2, 1, 1);
        }
      } else {
        t.mem.kernel.store(words, 1);
        if (t.mem.kernel.load(words + 4) === 1) {
          t.mem.kernel.store(words + 4, 0);
          t.host.notify(t.mem.i32, (words + 4) >>> 2);
        }
      }
    };
    expect(() => pair(wait)).toThrow(/M 0 blocks for ever: wait/);
  });

  it("finds a run without end, with the state that comes again", () => {
    const forth = (t: Thread, words: number, other: number): void => {
      const go = (): void => {
        t.mem.kernel.xchg(words, other);
        t.host.task(go);
      };
      go();
    };
    expect(() => pair(forth)).toThrow("this state was there before");
    const count = (t: Thread, words: number): void => {
      const go = (): void => {
        t.mem.kernel.add(words, 1);
        t.host.task(go);
      };
      go();
    };
    expect(() => pair(count, undefined, { maxSteps: 50 })).toThrow("a run has more than 50 steps");
    expect(() =>
      pair((t, words, other) => {
        while (t.mem.kernel.add(words + 4 * other, 1) >= 0);
      }),
    ).toThrow("more than 10000 operations in one step");
    expect(() =>
      pair((t, words) => {
        while (t.mem.kernel.load(words) === 0);
      }),
    ).toThrow("more than 10000 loads of one word");
  });

  it("shows what a body throws, and a bound that is reached", () => {
    expect(() => pair((t, words) => expect(t.mem.kernel.xchg(words, 1)).toBe(0))).toThrow(
      /M [01] throws: expected 1/,
    );
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const count = (t: Thread, words: number): void => {
      for (let k = 0; k < 9; k++) t.mem.kernel.add(words, 1);
    };
    expect(pair(count, undefined, { maxStates: 20 })).toMatchObject({ states: 20, complete: false });
    expect(warn.mock.calls).toEqual([["explore: ended at the bound of 20 states"]]);
  });

  it("tries every choice, and every order of callbacks", () => {
    const seen = new Set<string>();
    explore({
      bodies: [
        (t) => {
          t.begin();
          t.note(t.choose(3));
          t.host.task(() => t.note("a"));
          t.host.task(() => t.note("b"));
        },
      ],
      end: ({ notes }) => void seen.add(notes[0].join("")),
    });
    expect([...seen].sort()).toEqual(["0ab", "0ba", "1ab", "1ba", "2ab", "2ba"]);
  });
});
