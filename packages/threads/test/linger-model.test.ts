import type { Addr, LinearMemory } from "@gort/memory";
import { lock, unlock } from "@gort/memory";
import type { G } from "@gort/scheduler/internal";
import { describe, expect, it } from "vitest";
import { SUDOG_AT, Waiters, type WaitOwner } from "../src/sudog.ts";
import { type Explored, explore, type Thread } from "./explore.ts";

/** A goroutine that lingers before it parks (sudog.ts), and a partner, in all interleavings. */

/** Words of the model: a lock, the queue, and the place of the last word of M m. */
const LOCK = 0;
const QUEUE = 4;

const owner: WaitOwner = { unqueue() {}, undelivered() {} };

function waitersAt(t: Thread, m: number): Waiters {
  return new Waiters(t.mem, {
    m,
    post: (to, sg) => t.note(`post ${to} ${t.mem.u32[(sg + SUDOG_AT.slot) >>> 2]}`),
  });
}

/** The goroutine of M m is alone in the queue, and lingers. */
function lingers(t: Thread, waiters: Waiters, at: Addr): void {
  const { u32 } = t.mem;
  const w = waiters.begin({} as G, owner, null);
  const sg = waiters.add(w, false);
  lock(t.mem, at + LOCK);
  u32[(sg + SUDOG_AT.queued) >>> 2] = 1;
  u32[(at + QUEUE) >>> 2] = sg;
  waiters.beginLinger(sg);
  unlock(t.mem, at + LOCK);
  if (!waiters.linger(sg)) {
    t.note("parks");
    return;
  }
  t.note(`got ${u32[(sg + SUDOG_AT.inline) >>> 2]}`);
  expect(w.winner).toBe(sg);
}

/** A partner takes the sudog out of the queue, if it is there, and hands a value over. */
function handsOver(t: Thread, waiters: Waiters, at: Addr, value: number): void {
  const { u32 } = t.mem;
  lock(t.mem, at + LOCK);
  const sg = u32[(at + QUEUE) >>> 2] as Addr;
  if (sg !== 0 && waiters.win(sg)) {
    u32[(at + QUEUE) >>> 2] = 0;
    u32[(sg + SUDOG_AT.inline) >>> 2] = value;
    unlock(t.mem, at + LOCK);
    t.note("hands over");
    waiters.ready(sg);
  } else {
    unlock(t.mem, at + LOCK);
    t.note("finds none");
  }
}

function model(
  partners: number,
  end: (notes: readonly (readonly unknown[])[], mem: LinearMemory) => void,
): Explored {
  let at = 0 as Addr;
  return explore({
    bodies: [
      (t) => {
        at = t.alloc(16);
        const waiters = waitersAt(t, 0);
        waiters.reserve();
        t.phase();
        t.begin();
        lingers(t, waiters, at);
      },
      ...Array.from({ length: partners }, (_, k) => (t: Thread) => {
        t.phase();
        const waiters = waitersAt(t, k + 1);
        t.begin();
        handsOver(t, waiters, at, 10 + k);
      }),
    ],
    end: ({ notes, mem }) => end(notes, mem),
  });
}

describe("a goroutine that lingers", { timeout: 120_000 }, () => {
  // Faults that it kills: ready sets ENDED without a CAS, or posts also a sudog that lingers; linger gives up by a
  // store, or takes the failure of its CAS for a wait that goes on; the value is written after `ready`.
  it.each([1, 2])(
    "is told by its word or by a post, never by both or by neither (%i partners)",
    (partners) => {
      const fates = new Set<string>();
      const explored = model(partners, ([own, ...others]) => {
        const told = others.flat().filter((note) => note !== "finds none");
        const fate = [...own, ...told].join(", ");
        fates.add(fate.replace(/1\d/, "a value"));
      });
      expect(explored.complete).toBe(true);
      expect([...fates].toSorted()).toEqual([
        "got a value, hands over",
        "parks",
        "parks, hands over, post 0 1",
      ]);
    },
  );
});
