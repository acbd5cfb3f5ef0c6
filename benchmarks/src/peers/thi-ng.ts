// @thi.ng/csp: channels of promises. A write ends when its value has been taken, even if the buffer has room. So its
// default buffer of 1 is nearest to an unbuffered channel. Through a buffer of 100, a writer that awaits every write
// gains nothing, so the benchmark calls `offer` where there is room.
import { type Channel, channel, select } from "@thi.ng/csp";
import type { Case } from "../child.ts";

async function consume(c: Channel<number>, n: number): Promise<string> {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (await c.read())! & 0xffff;
  return String(sum);
}

export const cases: Record<string, Case> = {
  ChanUnbuffered: (n) => async () => {
    const c = channel<number>();
    const received = consume(c, n);
    void (async () => {
      for (let i = 0; i < n; i++) await c.write(i);
    })();
    return received;
  },
  ChanBuffered100: (n) => async () => {
    const c = channel<number>(100);
    const received = consume(c, n);
    void (async () => {
      for (let i = 0; i < n; i++) c.offer(i) || (await c.write(i));
    })();
    return received;
  },
  Select2: (n) => async () => {
    const a = channel<number>();
    const b = channel<number>();
    void (async () => {
      for (let i = 0; i < n; i++) await (i % 2 === 0 ? a : b).write(i);
    })();
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (await select(a, b))[0]! & 0xffff;
    return String(sum);
  },
};
