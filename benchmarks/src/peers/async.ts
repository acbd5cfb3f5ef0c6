// Programs without a library: plain async functions, and a plain channel of promises.
import { promiseCases } from "../cases/promises.ts";
import type { Case } from "../child.ts";

/** A FIFO channel of promises. With capacity 0 a send ends when its value has been taken. */
class PromiseChan {
  private readonly capacity: number;
  private readonly buffer: number[] = [];
  private readonly senders: { value: number; resolve: () => void }[] = [];
  private readonly receivers: ((value: number) => void)[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  send(value: number): Promise<void> {
    const receiver = this.receivers.shift();
    if (receiver !== undefined) {
      receiver(value);
      return Promise.resolve();
    }
    if (this.buffer.length < this.capacity) {
      this.buffer.push(value);
      return Promise.resolve();
    }
    return new Promise((resolve) => this.senders.push({ value, resolve }));
  }

  recv(): Promise<number> {
    const sender = this.senders.shift();
    let value = this.buffer.shift();
    if (sender !== undefined) {
      if (value === undefined) value = sender.value;
      else this.buffer.push(sender.value);
      sender.resolve();
    }
    return value === undefined
      ? new Promise((resolve) => this.receivers.push(resolve))
      : Promise.resolve(value);
  }
}

const transfer =
  (capacity: number): Case =>
  (n) =>
  async () => {
    const c = new PromiseChan(capacity);
    const producer = async () => {
      for (let i = 0; i < n; i++) await c.send(i);
    };
    const consumer = async () => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += (await c.recv()) & 0xffff;
      return sum;
    };
    const received = consumer();
    void producer();
    return String(await received);
  };

export const cases: Record<string, Case> = {
  ...promiseCases,
  ChanUnbuffered: transfer(0),
  ChanBuffered100: transfer(100),
};
