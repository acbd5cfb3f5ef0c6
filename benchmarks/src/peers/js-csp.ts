// js-csp: processes are generators whose `yield` gives an instruction to the scheduler. A process cannot yield without
// an instruction.
import csp, { type Channel, type Process } from "js-csp";
import { SPAWN_BATCH } from "../cases/sizes.ts";
import type { Case } from "../child.ts";

function* produce(c: Channel, n: number): Process {
  for (let i = 0; i < n; i++) yield csp.put(c, i);
}

function* consume(c: Channel, n: number): Process<number> {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (yield csp.take(c)) & 0xffff;
  return sum;
}

function result(process: Channel): Promise<string> {
  return new Promise((resolve) => csp.takeAsync(process, (value) => resolve(String(value))));
}

const transfer =
  (...buffer: number[]): Case =>
  (n) =>
  () => {
    const c = csp.chan(...buffer);
    const received = result(csp.go(consume, [c, n]));
    csp.go(produce, [c, n]);
    return received;
  };

const select =
  (k: number): Case =>
  (n) =>
  () => {
    const cs = Array.from({ length: k }, () => csp.chan());
    const received = result(
      csp.go(function* (): Process<number> {
        let sum = 0;
        for (let i = 0; i < n; i++) {
          const r: { value: number } = yield csp.alts(cs);
          sum += r.value & 0xffff;
        }
        return sum;
      }),
    );
    csp.go(function* (): Process {
      for (let i = 0; i < n; i++) yield csp.put(cs[i % k], i);
    });
    return received;
  };

export const cases: Record<string, Case> = {
  GoroutineSpawn: (n) => () =>
    result(
      csp.go(function* (): Process<number> {
        let count = 0;
        const f = function* (): Process {
          count++;
        };
        for (let started = 0; started < n; ) {
          const batch: Channel[] = [];
          for (let j = 0; j < SPAWN_BATCH && started < n; j++, started++) batch.push(csp.go(f));
          for (const process of batch) yield csp.take(process);
        }
        return count;
      }),
    ),
  ChanUnbuffered: transfer(),
  ChanBuffered100: transfer(100),
  Select2: select(2),
  Select4: select(4),
};
