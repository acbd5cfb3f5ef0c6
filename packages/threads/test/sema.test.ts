import type { Addr } from "@gort/memory";
import type { G } from "@gort/scheduler/internal";
import { createBumpHeap } from "@gort/types";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SEMAROOT, SemaTable } from "../src/sema.ts";
import { verifySemas } from "../src/sema-verify.ts";
import {
  SEMA_BUCKET_BYTES,
  SEMA_BUCKETS,
  SUDOG_AT,
  type Waiter,
  Waiters,
  type WaitOwner,
} from "../src/sudog.ts";

const owner: WaitOwner = { unqueue() {}, undelivered() {} };

function table(maxMemory = 64 << 20) {
  const waiters = new Waiters(createBumpHeap({ maxMemory }).mem, null);
  const semas = new SemaTable(waiters);
  const g = { shared: null } as G;
  const waits = new Map<Addr, Waiter>();
  const sudog = (queue: number): Addr => {
    const w = waiters.begin(g, owner, null);
    const sg = waiters.add(w, false);
    waiters.u32[(sg + SUDOG_AT.queue) >>> 2] = queue;
    waits.set(sg, w);
    return sg;
  };
  /** Frees a sudog that was taken out. The next one has its place in memory. */
  const free = (sg: Addr): void => {
    expect(waiters.u32[(sg + SUDOG_AT.queued) >>> 2]).toBe(0);
    waiters.end(waits.get(sg)!);
  };
  return { waiters, semas, sudog, free };
}

describe("the semaphore table", () => {
  it("has buckets of a cache line each, which hold their fields", () => {
    expect(SEMAROOT.size).toBeLessThanOrEqual(SEMA_BUCKET_BYTES);
    const { waiters, semas } = table();
    expect(waiters.semas % SEMA_BUCKET_BYTES).toBe(0);
    const used = new Set<number>();
    for (let addr = 0x100000; addr < 0x100000 + 64 * 16384; addr += 64) used.add(semas.bucket(addr));
    expect(used.size).toBe(SEMA_BUCKETS);
    for (const b of used) {
      expect(b - waiters.semas).toBeLessThan(SEMA_BUCKETS * SEMA_BUCKET_BYTES);
      expect((b - waiters.semas) % SEMA_BUCKET_BYTES).toBe(0);
    }
  });

  it("keeps each queue in order under any mix of operations", () => {
    const action = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant("add" as const), q: fc.nat(6), head: fc.boolean() }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("take" as const), q: fc.nat(6) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("remove" as const), q: fc.nat(6), i: fc.nat(5) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("charge" as const), q: fc.nat(6) }) },
    );
    fc.assert(
      fc.property(
        fc.array(action, { minLength: 20, maxLength: 120, size: "max" }),
        fc.nat(0xffff),
        (actions, base) => {
          const { waiters, semas, sudog, free } = table();
          // All queues in one bucket: that of the first.
          const addrs = Array.from({ length: 7 }, (_, i) => 0x10000 + base * 8 + i * (i % 3 === 0 ? 4 : 64));
          const bucket = semas.bucket(addrs[0]);
          const queues = new Map<number, { sg: Addr; since: number }[]>(addrs.map((a) => [a, []]));
          const charged = new Map<number, number>();
          let now = 1;
          for (const a of actions) {
            now++;
            const addr = addrs[a.q];
            const list = queues.get(addr)!;
            if (a.kind === "add") {
              const w = { sg: sudog(addr), since: now % 3 === 0 ? -1 : now };
              semas.enqueue(bucket, w.sg, a.head, w.since);
              if (a.head) list.unshift(w);
              else list.push(w);
            } else if (a.kind === "take") {
              const w = list.shift();
              expect(semas.first(bucket, addr)).toBe(w?.sg ?? 0);
              expect(semas.dequeue(bucket, addr)).toBe(w?.sg ?? 0);
              if (w !== undefined) free(w.sg);
            } else if (a.kind === "remove") {
              const [w] = list.splice(a.i, 1);
              if (w !== undefined) {
                semas.remove(bucket, w.sg);
                free(w.sg);
              }
            } else {
              const timed = list.filter((w) => w.since >= 0);
              const ms = semas.charge(bucket, addr, now);
              const want = timed.reduce((sum, w) => sum + now - Math.max(w.since, charged.get(addr) ?? 0), 0);
              expect(ms).toBe(timed.length === 0 ? -1 : want);
              charged.set(addr, now);
            }
            for (const [q, expected] of queues) {
              const found: Addr[] = [];
              for (let sg = semas.first(bucket, q); sg !== 0; sg = semas.next(sg)) found.push(sg);
              expect(found).toEqual(expected.map((w) => w.sg));
            }
            expect(verifySemas(waiters)).toBe([...queues.values()].flat().length);
          }
        },
      ),
    );
  });

  it("finds a queue among many in a few steps", () => {
    const { waiters, semas, sudog } = table(512 << 20);
    const n = 20_000;
    const bucket = semas.bucket(0x200000);
    for (let i = 0; i < n; i++) semas.enqueue(bucket, sudog(0x200000 + 16 * i), false, -1);
    const depth = (sg: number): number =>
      sg === 0
        ? 0
        : 1 +
          Math.max(
            depth(waiters.u32[(sg + SUDOG_AT.left) >>> 2]),
            depth(waiters.u32[(sg + SUDOG_AT.right) >>> 2]),
          );
    expect(depth(waiters.u32[(bucket + SEMAROOT.offsets.tree) >>> 2])).toBeLessThan(25);
    expect(verifySemas(waiters)).toBe(n);
    for (let i = n - 1; i >= 0; i--) expect(semas.dequeue(bucket, 0x200000 + 16 * i)).not.toBe(0);
    expect(verifySemas(waiters)).toBe(0);
  });
});
