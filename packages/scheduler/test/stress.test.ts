import { describe, expect, it } from "vitest";
import { type Chan, createScheduler, defaultCase, recvCase, sendCase } from "../src/index.ts";
import { Mutex, RWMutex, WaitGroup } from "../src/sync/index.ts";
import { createTestScheduler, verifyScheduler } from "../src/testing.ts";

/** Many goroutines and random operations, whose sums must be exact. */
describe("stress", () => {
  const base = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));

  for (let round = 0; round < 5; round++) {
    const seed = base + round;
    it(`loses and invents no value over channels (seed ${seed})`, () => {
      const s = createTestScheduler({ seed });
      const producers = 40;
      const each = 200;
      let sent = 0;
      let received = 0;
      let count = 0;
      s.runMain(function* () {
        const chans: Chan<number>[] = [0, 0, 1, 5, 300].map((n) => s.makeChan<number>(n));
        const done = s.makeChan<void>();
        const wg = new WaitGroup();
        const consumers = new WaitGroup();
        for (let p = 0; p < producers; p++) {
          wg.go(function* () {
            for (let i = 0; i < each; i++) {
              const v = p * each + i;
              sent += v;
              const a = chans[s.randn(chans.length)];
              const b = chans[s.randn(chans.length)];
              switch (s.randn(4)) {
                case 0:
                  yield* a.send(v);
                  break;
                case 1:
                  a.trySend(v) || (yield* a.send(v));
                  break;
                case 2:
                  yield* s.select([sendCase(a, v), sendCase(b, v)]);
                  break;
                default:
                  while ((yield* s.select([sendCase(a, v), defaultCase])).index === 1) yield* s.gosched();
              }
              if (s.randn(10) === 0) yield* s.sleep(s.randn(3));
            }
          });
        }
        const take = (v: number) => {
          received += v;
          count++;
        };
        for (let c = 0; c < 15; c++) {
          consumers.go(function* () {
            for (;;) {
              const order = [...chans].sort(() => s.randn(3) - 1);
              const r = yield* s.select([...order.map((c) => recvCase(c)), recvCase(done)]);
              if (r.index === order.length) break;
              take(r.value as number);
            }
            for (const c of chans) {
              for (let r = c.tryRecv(); r.received; r = c.tryRecv()) take(r.value!);
            }
          });
        }
        yield* wg.wait();
        done.close();
        yield* consumers.wait();
      });
      expect([count, received]).toEqual([producers * each, sent]);
      verifyScheduler(s);
      expect(s.numGoroutine()).toBe(0);
    });
  }

  it(`keeps counters under locks exact in real time (seed ${base})`, async () => {
    const s = createScheduler({ seed: base });
    const total = await s.main(function* () {
      const m = new Mutex();
      const rw = new RWMutex();
      const wg = new WaitGroup();
      let a = 0;
      let b = 0;
      for (let g = 0; g < 30; g++) {
        wg.go(function* () {
          for (let i = 0; i < 100; i++) {
            yield* m.lock();
            const x = a;
            if (i % 7 === 0) yield* s.gosched();
            a = x + 1;
            m.unlock();
            if (i % 3 === 0) {
              yield* rw.lock();
              const y = b;
              yield* s.gosched();
              b = y + 1;
              rw.unlock();
            } else {
              yield* rw.rLock();
              const y = b;
              yield* s.gosched();
              if (y !== b) throw new Error("a writer came between");
              rw.rUnlock();
            }
          }
        });
      }
      yield* wg.wait();
      return [a, b];
    });
    expect(total).toEqual([3000, 30 * 34]);
  });
});
