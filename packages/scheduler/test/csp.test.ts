import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HChan } from "../src/chan.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";
import { checkProgram, type MakeWorld, program, programs } from "./csp.ts";

const local: MakeWorld = (caps, seed) => {
  const s = createTestScheduler({ seed });
  const chans = caps.map((n) => s.makeChan<number>(n));
  return {
    scheduler: () => s,
    chan: (c) => chans[c],
    run: () => s.run(),
    queued: (_g, goid) => {
      const order: number[] = [];
      for (const c of chans as HChan<number>[]) {
        for (const q of [c.recvq, c.sendq]) {
          for (let sg = q.first; sg !== null; sg = sg.next) if (sg.g.goid === goid) order.push(sg.index);
        }
      }
      return order;
    },
    end: () => {
      verifyScheduler(s);
      s.close();
    },
  };
};

describe("channels against the model", () => {
  it("agree with it in every interleaving of hand-written programs", () => {
    let runs = 0;
    for (const p of programs) runs += checkProgram(p, 1, 10_000, local);
    expect(runs).toBeGreaterThan(200);
  });

  it("agree with it in every interleaving of random programs", () => {
    fc.assert(
      fc.property(program, fc.integer({ min: 1 }), (p, seed) => {
        checkProgram(p, seed, 400, local);
      }),
      { numRuns: 100 },
    );
  });
});
