import type { Addr } from "@gort/memory";
import type { Chan } from "@gort/scheduler";
import type { HChan } from "@gort/scheduler/internal";
import { int } from "@gort/types";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkProgram, type MakeWorld, program, programs } from "../../scheduler/test/csp.ts";
import { HCHAN_AT } from "../src/hchan.ts";
import { SUDOG_AT } from "../src/sudog.ts";
import { verifyChan } from "../src/testing.ts";
import { addrOf, heap } from "./kit.ts";
import { Machines } from "./machines.ts";

/**
 * Runs the goroutines on `n` Ms in turn. The first `local` channels are local ones, which the schedulers of one
 * JavaScript thread can share; the others are in the heap. With `handles`, each M has handles of its own.
 */
function world(n: number, local: number, handles: boolean): MakeWorld {
  return (caps, seed) => {
    const ms = new Machines(n, seed);
    const { u32 } = heap.mem;
    const first = caps.map((cap, c) =>
      c < local ? ms.schedulers[0].makeChan<number>(cap) : ms.chans[0].make(int, cap),
    );
    const chans = ms.chans.map((own) =>
      first.map(
        (c, i): Chan<number> =>
          i < local || !handles ? c : own.at((c as unknown as { $addr: Addr }).$addr, int),
      ),
    );
    const heapChans = first.slice(local).map(addrOf);
    const queued = (g: number, goid: number): number[] => {
      const order: number[] = [];
      for (const c of first.slice(0, local) as HChan<number>[]) {
        for (const q of [c.recvq, c.sendq]) {
          for (let sg = q.first; sg !== null; sg = sg.next) {
            if (sg.g.goid === goid && sg.g.sched === ms.schedulers[g % n]) order.push(sg.index);
          }
        }
      }
      for (const c of heapChans) {
        for (const q of [HCHAN_AT.recvq, HCHAN_AT.sendq]) {
          for (let sg = u32[(c + q) >>> 2]; sg !== 0; sg = u32[(sg + SUDOG_AT.next) >>> 2]) {
            const owner = ms.owner(sg as Addr);
            if (owner.m === g % n && owner.goid === goid) order.push(u32[(sg + SUDOG_AT.index) >>> 2]);
          }
        }
      }
      return order;
    };
    return {
      scheduler: (g) => ms.schedulers[g % n],
      chan: (c, g) => chans[g % n][c],
      run: () => ms.run(),
      queued,
      end: () => {
        for (const c of heapChans) verifyChan(heap.mem, c);
        ms.end();
        for (const c of heapChans) verifyChan(heap.mem, c);
      },
    };
  };
}

describe.each([
  ["channels of the heap on one M, private", world(1, 0, false)],
  ["channels of the heap on one M, with locks", world(1, 0, true)],
  ["a local channel and one of the heap, private", world(1, 1, false)],
  ["channels of the heap on two Ms", world(2, 0, true)],
  ["channels of the heap on four Ms", world(4, 0, true)],
  ["a local channel and one of the heap, on two Ms", world(2, 1, true)],
])("%s, against the model of CSP", (_name, makeWorld) => {
  it("agree with it in every interleaving of hand-written programs", () => {
    let runs = 0;
    for (const p of programs) runs += checkProgram(p, 1, 1000, makeWorld);
    expect(runs).toBeGreaterThan(200);
  });

  it("agree with it in every interleaving of random programs", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(program, fc.integer({ min: 1, max: 2 ** 30 }), (p, seed) => {
        checkProgram(p, seed, 100, makeWorld);
      }),
      { numRuns: 60 },
    );
  });
});
