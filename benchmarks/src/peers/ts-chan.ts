// ts-chan: Go's channels for async functions. By design its operations pass through the macrotask queue now and then.
// Its documentation offers `setUnsafe`, which turns that off, for speed. So the benchmarks use it.
import { Chan, recv, Select } from "ts-chan";
import type { Case } from "../child.ts";

const transfer =
  (capacity: number): Case =>
  (n) =>
  async () => {
    const c = new Chan<number>(capacity).setUnsafe(true);
    const consumer = async () => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += (await c.recv()).value! & 0xffff;
      return sum;
    };
    const producer = async () => {
      for (let i = 0; i < n; i++) await c.send(i);
    };
    const received = consumer();
    void producer();
    return String(await received);
  };

const select =
  (k: number): Case =>
  (n) =>
  async () => {
    const cs = Array.from({ length: k }, () => new Chan<number>(0).setUnsafe(true));
    const consumer = async () => {
      const s = new Select(cs.map((c) => recv(c))).setUnsafe(true);
      let sum = 0;
      for (let i = 0; i < n; i++) sum += s.recv(s.cases[await s.wait()]).value! & 0xffff;
      return sum;
    };
    const producer = async () => {
      for (let i = 0; i < n; i++) await cs[i % k].send(i);
    };
    const received = consumer();
    void producer();
    return String(await received);
  };

export const cases: Record<string, Case> = {
  ChanUnbuffered: transfer(0),
  ChanBuffered100: transfer(100),
  Select2: select(2),
  Select4: select(4),
};
