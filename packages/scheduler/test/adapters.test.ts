import { EventEmitter } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  fromAbortSignal,
  fromAsyncIterable,
  fromEvents,
  fromNodeReadable,
  fromReadableStream,
  toReadableStream,
  toWritableStream,
  writeTo,
} from "../src/adapters.ts";
import { go, main, makeChan, sleep } from "../src/index.ts";

describe("sources", () => {
  it("ask an async iterable for a value when the previous one was taken", async () => {
    let made = 0;
    async function* numbers() {
      for (let i = 0; i < 5; i++) {
        made++;
        yield i;
      }
    }
    await main(function* () {
      const src = fromAsyncIterable(numbers());
      expect(yield* src.C.recv()).toBe(0);
      yield* sleep(5);
      expect(made).toBe(2);
      const rest: number[] = [];
      yield* src.C.forEach((v) => {
        rest.push(v);
      });
      expect(rest).toEqual([1, 2, 3, 4]);
      expect(src.err()).toBe(null);
    });
  });

  it("end with the error of the host or when they are stopped", async () => {
    await main(function* () {
      const src = fromAsyncIterable(
        (async function* () {
          yield 1;
          throw new Error("broken");
        })(),
      );
      yield* src.C.recv();
      expect((yield* src.C.recv2()).ok).toBe(false);
      expect((src.err() as Error).message).toBe("broken");
      const endless = fromAsyncIterable([1, 2, 3], { size: 1 });
      yield* endless.C.recv();
      endless.stop();
      yield* endless.C.forEach(() => {});
      expect(endless.err()).toBe(null);
    });
  });

  it("prevent a deadlock of waiting goroutines while they are open", async () => {
    await main(function* () {
      const events = new EventTarget();
      const src = fromEvents<Event>(events, "ping");
      setTimeout(() => events.dispatchEvent(new Event("ping")), 5);
      expect((yield* src.C.recv())!.type).toBe("ping");
      src.stop();
      expect((yield* src.C.recv2()).ok).toBe(false);
    });
  });

  it("drop events while the buffer is full", async () => {
    await main(function* () {
      const e = new EventEmitter();
      const src = fromEvents<number>(e, "n", { size: 2 });
      for (let i = 0; i < 5; i++) e.emit("n", i);
      src.stop();
      e.emit("n", 9);
      const got: number[] = [];
      yield* src.C.forEach((v) => {
        got.push(v);
      });
      expect(got).toEqual([0, 1]);
      expect(e.listenerCount("n")).toBe(0);
    });
  });

  it("close their channel when an AbortSignal is aborted", async () => {
    await main(function* () {
      const c = new AbortController();
      const done = fromAbortSignal(c.signal);
      setTimeout(() => c.abort(), 5);
      expect((yield* done.recv2()).ok).toBe(false);
      expect((yield* fromAbortSignal(c.signal).recv2()).ok).toBe(false);
    });
  });
});

describe("streams", () => {
  it("go from Web to channel to Web", async () => {
    const c = makeChan<number>();
    const out = toReadableStream(c);
    const done = main(function* () {
      const src = fromReadableStream(
        new ReadableStream<number>({
          start(controller) {
            for (let i = 1; i <= 3; i++) controller.enqueue(i);
            controller.close();
          },
        }),
      );
      yield* src.C.forEach(function* (v) {
        yield* c.send(v * 10);
      });
      c.close();
    });
    const got: number[] = [];
    const reader = out.getReader();
    for (let r = await reader.read(); !r.done; r = await reader.read()) got.push(r.value);
    await done;
    expect(got).toEqual([10, 20, 30]);
  });

  it("send what is written to a Web stream", async () => {
    const c = makeChan<string>();
    const w = toWritableStream(c).getWriter();
    const got: string[] = [];
    go(function* () {
      yield* c.forEach((v) => {
        got.push(v);
      });
      got.push("end");
    });
    await w.write("a");
    await w.write("b");
    await w.close();
    await new Promise((r) => setTimeout(r, 5));
    expect(got).toEqual(["a", "b", "end"]);
  });

  it("go from Node to channel to Node with back pressure", async () => {
    const chunks = Array.from({ length: 50 }, (_, i) => Buffer.alloc(1000, i));
    const sink = new PassThrough({ highWaterMark: 4000 });
    let read = 0;
    const reading = (async () => {
      for await (const chunk of sink) {
        read += (chunk as Buffer).length;
        await new Promise((r) => setTimeout(r, 0));
      }
    })();
    await main(function* () {
      const src = fromNodeReadable<Buffer>(Readable.from(chunks));
      yield* writeTo(src.C, sink);
    });
    await reading;
    expect(read).toBe(50_000);
  });
});
