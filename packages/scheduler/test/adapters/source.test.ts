import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  fromAbortSignal,
  fromAsyncIterable,
  fromEvents,
  fromNodeReadable,
  fromReadableStream,
  type Source,
} from "../../src/adapters.ts";
import { type Chan, createScheduler, type Scheduler } from "../../src/index.ts";

interface Opened {
  /** Makes the host's side end by itself. */
  end(): void;
  stop(): void;
  /** Receives until the channel is closed. */
  drain(): Generator<undefined, unknown, unknown>;
}

function opened(source: Source<unknown>, end: () => void): Opened {
  return { end, stop: () => source.stop(), drain: () => source.C.forEach(() => {}) };
}

const sources: [string, () => Opened][] = [
  [
    "fromAsyncIterable",
    () => {
      let end = () => {};
      const ended = new Promise<void>((r) => {
        end = r;
      });
      const it = (async function* () {
        yield 1;
        await ended;
      })();
      return opened(fromAsyncIterable(it), end);
    },
  ],
  [
    "fromReadableStream",
    () => {
      let controller: ReadableStreamDefaultController<number>;
      const stream = new ReadableStream<number>({
        start(c) {
          controller = c;
          c.enqueue(1);
        },
      });
      return opened(fromReadableStream(stream), () => controller.close());
    },
  ],
  [
    "fromNodeReadable",
    () => {
      const stream = new PassThrough({ objectMode: true });
      stream.write(1);
      return opened(fromNodeReadable<number>(stream), () => void stream.end());
    },
  ],
  [
    "fromEvents",
    () => {
      const e = new EventEmitter();
      const source = fromEvents<number>(e, "x");
      e.emit("x", 1);
      // Events end only by stop or by a goroutine that closes the channel.
      return opened(source, () => {
        (source.C as Chan<unknown>).close();
        e.emit("x", 2);
      });
    },
  ],
  [
    "fromAbortSignal",
    () => {
      const c = new AbortController();
      const aborted = fromAbortSignal(c.signal);
      return {
        end: () => c.abort(),
        stop: () => aborted.stop(),
        drain: () => aborted.forEach(() => {}),
      };
    },
  ],
];

describe.each(sources)("a source made by %s", (_name, open) => {
  /** Waits for a value that never comes. If there is no deadlock after 500 ms, closes the channel: the test fails. */
  function* forever(s: Scheduler): Generator<undefined, void, unknown> {
    const c = s.makeChan();
    const missing = setTimeout(() => c.close(), 500);
    missing.unref();
    yield* c.recv();
  }

  const deadlock = {
    kind: "fatal",
    code: "ERR_GORT_DEADLOCK",
    message: expect.stringContaining("deadlock!"),
  };

  it("prevents a deadlock while it is open, and not once it has ended", async () => {
    const s = createScheduler({ deadlock: "eager" });
    let drained = false;
    const ran = s.main(function* () {
      const source = open();
      setTimeout(() => source.end(), 10);
      yield* source.drain();
      drained = true;
      yield* forever(s);
    });
    await expect(ran).rejects.toMatchObject(deadlock);
    expect(drained).toBe(true);
    s.close();
  });

  it("prevents no deadlock once it was stopped, before or during the wait", async () => {
    for (const wait of [null, 5]) {
      const s = createScheduler({ deadlock: "eager" });
      const ran = s.main(function* () {
        const source = open();
        if (wait === null) source.stop();
        else setTimeout(() => source.stop(), wait);
        yield* forever(s);
      });
      await expect(ran).rejects.toMatchObject(deadlock);
      s.close();
    }
  });
});
