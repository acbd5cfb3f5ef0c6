/**
 * What the block profile costs an event, at several rates, with the stack of every event (the default) and of one in
 * 16. Two goroutines hand a number to and fro over unbuffered channels: two waits a round, each of about a microsecond.
 * The goal at rate 1 is 1.5 us an event; V8 alone takes 3 to 4 us for one stack of four frames.
 *
 *     pnpm build && node bench/profiles.bench.ts      (Node 22.18 or later)
 */
import { BlockProfileRecord, createRuntime, type Runtime } from "@gort/runtime";

const ROUNDS = 7;
const TRIPS = 5000;

const options = { maxMemory: 64 << 20, godebug: "" };
for (const blockStackPeriod of [1, 16])
  await measure(createRuntime({ ...options, blockStackPeriod }), blockStackPeriod);

function events(rt: Runtime): number {
  const records = Array.from({ length: rt.blockProfile(null).n }, () => new BlockProfileRecord());
  rt.blockProfile(records);
  return records.reduce((n, r) => n + r.Count, 0);
}

function* toAndFro(rt: Runtime): Generator<undefined, void> {
  const there = rt.makeChan<number>();
  const back = rt.makeChan<number>();
  rt.go(function* answers() {
    for (let i = 0; i < TRIPS; i++) yield* back.send(Number(yield* there.recv()));
  });
  for (let i = 0; i < TRIPS; i++) {
    yield* there.send(i);
    if ((yield* back.recv()) !== i) throw new Error("out of order");
  }
}

async function measure(rt: Runtime, blockStackPeriod: number): Promise<void> {
  console.log(`stack of one wait in ${blockStackPeriod}:`);
  await rt.main(function* () {
    const best = new Map<number, number>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const rate of [0, 1, 10_000, 100_000]) {
        rt.setBlockProfileRate(rate);
        const before = events(rt);
        const from = performance.now();
        yield* toAndFro(rt);
        const us = ((performance.now() - from) * 1e3) / (2 * TRIPS);
        if (rate === 1 && events(rt) - before !== 2 * TRIPS) throw new Error(`${events(rt) - before} events`);
        best.set(rate, Math.min(us, best.get(rate) ?? Number.POSITIVE_INFINITY));
      }
    }
    const off = best.get(0)!;
    for (const [rate, us] of best) {
      console.log(
        `rate ${String(rate).padEnd(7)} ${us.toFixed(2)} us a wait, ${(us - off).toFixed(2)} us for the profile`,
      );
    }
  });
  rt.close();
}
