// Effect: fibers and queues. A queue of capacity 0 passes values as an unbuffered channel does. There is no select over
// queues: a race of two takes interrupts the loser, which is another program.
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Queue from "effect/Queue";
import { SPAWN_BATCH } from "../cases/sizes.ts";
import type { Case } from "../child.ts";

const transfer =
  (capacity: number): Case =>
  (n) =>
  () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const q = yield* Queue.bounded<number>(capacity);
        const consumer = yield* Effect.forkChild(
          Effect.gen(function* () {
            let sum = 0;
            for (let i = 0; i < n; i++) sum += (yield* Queue.take(q)) & 0xffff;
            return sum;
          }),
        );
        yield* Effect.forkChild(
          Effect.gen(function* () {
            for (let i = 0; i < n; i++) yield* Queue.offer(q, i);
          }),
        );
        return String(yield* Fiber.join(consumer));
      }),
    );

export const cases: Record<string, Case> = {
  GoroutineSpawn: (n) => () =>
    Effect.runPromise(
      Effect.gen(function* () {
        let count = 0;
        const f = Effect.sync(() => {
          count++;
        });
        for (let started = 0; started < n; ) {
          const batch: Fiber.Fiber<void>[] = [];
          for (let j = 0; j < SPAWN_BATCH && started < n; j++, started++) {
            batch.push(yield* Effect.forkChild(f));
          }
          for (const fiber of batch) yield* Fiber.join(fiber);
        }
        return String(count);
      }),
    ),
  Gosched: (n) => () =>
    Effect.runPromise(
      Effect.gen(function* () {
        let count = 0;
        const f = Effect.gen(function* () {
          for (let i = 0; i < n / 2; i++) {
            count++;
            yield* Effect.yieldNow;
          }
        });
        const fibers = [yield* Effect.forkChild(f), yield* Effect.forkChild(f)];
        for (const fiber of fibers) yield* Fiber.join(fiber);
        return String(count);
      }),
    ),
  ChanUnbuffered: transfer(0),
  ChanBuffered100: transfer(100),
};
