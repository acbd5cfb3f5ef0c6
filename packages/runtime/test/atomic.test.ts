import { describe, expect, it } from "vitest";
import * as atomic from "../src/atomic.ts";
import { int64, pointer, type Ref, type Runtime, struct } from "../src/index.ts";
import { waitGroup } from "../src/sync.ts";
import { make } from "./kit.ts";

const Node = struct("Node", {
  value: int64,
  get next() {
    return pointer(Node);
  },
});

const Stats = struct("Stats", {
  hits: atomic.Int64,
  n: int64,
  head: pointer(Node),
  tail: atomic.Pointer(Node),
});

describe("atomic values of the heap", () => {
  it("count what goroutines do", async () => {
    const rt = make();
    const s = rt.newObject(Stats);
    await rt.main(function* () {
      const wg = rt.newObject(waitGroup);
      const n = atomic.fieldRef(s, "n");
      for (let i = 0; i < 20; i++) {
        wg.go(function* () {
          for (let k = 0; k < 10; k++) {
            s.hits.add(1n);
            atomic.addInt64(n, 2n);
            yield* rt.gosched();
          }
        });
      }
      yield* wg.wait();
    });
    expect([s.hits.load(), s.n]).toEqual([200n, 400n]);
  });

  it("allocate nothing on the heap", async () => {
    const rt = make();
    const s = rt.newObject(Stats);
    const { hits } = s;
    const n = atomic.fieldRef(s, "n");
    const { Mallocs } = rt.readMemStats();
    for (let i = 0; i < 100; i++) {
      hits.add(1n);
      atomic.storeInt64(n, 5n);
      atomic.compareAndSwapPointer(atomic.fieldRef(s, "head"), null, null);
    }
    expect(rt.readMemStats().Mallocs).toBe(Mallocs);
  });
});

describe("atomic pointers while a collection marks", () => {
  /** Moves nodes between places by exchanges only, in many short goroutines, while collections run. */
  const program = async (rt: Runtime, seed: number): Promise<void> => {
    let x = seed | 1;
    const random = (n: number): number => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % n;
    };
    await rt.main(function* () {
      const places = Array.from({ length: 8 }, () => rt.newObject(Stats));
      const seen = new Map<bigint, number>();
      const check = (node: Ref<typeof Node> | null): void => {
        if (node === null) return;
        // A freed node is overwritten.
        expect(seen.has(node.value), `seed ${seed}`).toBe(true);
      };
      for (let round = 0; round < 400; round++) {
        const from = places[random(8)];
        const to = places[random(8)];
        const fresh = rt.newObject(Node, { value: BigInt(round) });
        seen.set(BigInt(round), round);
        switch (random(5)) {
          case 0:
            check(from.tail.swap(fresh));
            break;
          case 1: {
            const taken = atomic.swapPointer(atomic.fieldRef(from, "head"), null);
            check(taken);
            to.tail.store(taken);
            break;
          }
          case 2: {
            const old = to.tail.load();
            check(old);
            expect(to.tail.compareAndSwap(old, fresh)).toBe(true);
            atomic.storePointer(atomic.fieldRef(from, "head"), old);
            break;
          }
          case 3:
            fresh.next = from.tail.load();
            from.tail.store(fresh);
            break;
          default:
            for (let n = to.tail.load(); n !== null; n = n.next) check(n);
        }
        for (let i = random(40); i > 0; i--) rt.newObject(Node).release();
        fresh.release();
        if (random(3) === 0) yield* rt.gosched();
        if (round % 50 === 0) rt.gc();
      }
    });
  };

  it("lose no object", { timeout: 60_000 }, async () => {
    const seed = 1 + Math.floor(Math.random() * 2 ** 30);
    for (const godebug of ["clobberfree=1,gccheckmark=1", "clobberfree=1,gcstress=1"]) {
      const rt = make({ godebug, gogc: 5 });
      await program(rt, seed);
      expect(rt.readMemStats().NumGC, `seed ${seed}`).toBeGreaterThan(3);
    }
  });
});
