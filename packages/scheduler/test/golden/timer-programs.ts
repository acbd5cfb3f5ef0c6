/** Programs with timers and tickers. */

import {
  after,
  afterFunc,
  defaultCase,
  go,
  makeChan,
  newTicker,
  newTimer,
  recvCase,
  select,
  sleep,
} from "../../src/index.ts";
import type { Program } from "./program.ts";

export const timerPrograms: Record<string, Program> = {
  *ratelimiter(println, now) {
    const requests = makeChan<number>(8);
    for (let i = 1; i <= 8; i++) yield* requests.send(i);
    requests.close();
    const burst = makeChan<number>(3);
    for (let i = 0; i < 3; i++) yield* burst.send(0);
    const t = newTicker(50);
    go(function* () {
      yield* t.C.forEach(function* (x) {
        yield* burst.send(x);
      });
    });
    const start = now();
    yield* requests.forEach(function* (r) {
      yield* burst.recv();
      println("request", r, "after", Math.trunc((now() - start + 25) / 50), "ticks");
    });
    t.stop();
  },

  *timers(println, now) {
    const t = newTimer(20);
    println("stop", t.stop(), t.stop());
    println("reset", t.reset(10), t.C.length, t.C.capacity);
    yield* t.C.recv();
    println("fired; stop", t.stop());
    t.reset(5);
    yield* sleep(30);
    println("len", t.C.length, "stop takes the value back", t.stop());
    const r = yield* select([recvCase(t.C), defaultCase]);
    println(r.index === 0 ? "stale" : "nothing");
    t.reset(5);
    yield* sleep(30);
    println("reset takes the value back", t.reset(20));
    const start = now();
    yield* t.C.recv();
    println("waited", now() - start >= 15);
    const k = newTicker(20);
    for (let i = 0; i < 3; i++) {
      yield* k.C.recv();
      println("tick", i);
    }
    yield* sleep(70);
    let n = 0;
    while (k.C.tryRecv().received) n++;
    println("ticks kept", n);
    k.stop();
    const done = makeChan<boolean>();
    const f = afterFunc(3_600_000, () => done.close());
    println("f reset", f.reset(5));
    yield* done.recv();
    println("f stop", f.stop(), f.C === null);
    const q = yield* select([recvCase(after(5)), recvCase(makeChan<number>())]);
    if (q.index === 0) println("timeout");
  },
};
