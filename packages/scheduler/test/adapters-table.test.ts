/**
 * Every adapter at every kind of end: what the goroutine sees, what the host's side sees, and what is left behind. Nothing
 * may be: no listener, no goroutine, no lock, no unhandled rejection, no open source.
 */
import { EventEmitter, getEventListeners } from "node:events";
import { createServer as createHttpServer, get, type IncomingMessage, type ServerResponse } from "node:http";
import {
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2ServerResponse,
} from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { PassThrough, Readable, Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  fromAbortSignal,
  fromAsyncIterable,
  fromEvents,
  fromNodeReadable,
  fromReadableStream,
  pipe,
  type Source,
  toReadableStream,
  toWritableStream,
  writeTo,
} from "../src/adapters.ts";
import {
  type Chan,
  createScheduler,
  defaultScheduler,
  go,
  main,
  makeChan,
  recvCase,
  type Scheduler,
  sendCase,
  sleep,
} from "../src/index.ts";

const { NGHTTP2_CANCEL } = constants;

const unhandled: unknown[] = [];
const note = (e: unknown) => unhandled.push(e);
beforeAll(() => {
  process.on("unhandledRejection", note);
});
afterAll(() => {
  process.off("unhandledRejection", note);
});

const later = (ms = 5) => new Promise<void>((r) => setTimeout(r, ms));

/** Runs `body` as a program, and then checks that it has left nothing in the scheduler. */
async function clean<T>(body: () => Generator<undefined, T, unknown>): Promise<T> {
  const s = defaultScheduler();
  const result = await main(body);
  await later();
  expect(unhandled.splice(0)).toEqual([]);
  expect({ syscalls: s.nsyscall, host: s.nhost, goroutines: s.ngoroutines }).toEqual({
    syscalls: 0,
    host: 0,
    goroutines: 0,
  });
  return result;
}

function* rest<T>(src: Source<T>): Generator<undefined, T[], unknown> {
  const got: T[] = [];
  yield* src.C.forEach((v) => {
    got.push(v);
  });
  return got;
}

function listeners(e: EventEmitter): Record<string, number> {
  const out: Record<string, number> = {};
  for (const name of e.eventNames()) out[String(name)] = e.listenerCount(name);
  return out;
}

const broken = new Error("connection reset");

// ---- sources ----

interface Feed {
  source: Source<number>;
  /** What is left on the host's side. */
  left(): unknown;
}

type Script = "end" | "error" | "error before" | "endless" | "never" | "closing fails";

async function* numbers(script: Script): AsyncGenerator<number> {
  try {
    if (script === "error before") throw broken;
    if (script === "never") await new Promise(() => {});
    for (let i = 1; script === "endless" || script === "closing fails" || i <= 2; i++) yield i;
    if (script === "error") throw broken;
  } finally {
    // biome-ignore lint/correctness/noUnsafeFinally: the case is a clean-up that fails
    if (script === "closing fails") throw broken;
  }
}

function webStream(script: Script): ReadableStream<number> {
  let i = 0;
  return new ReadableStream<number>({
    start(c) {
      if (script === "error before") c.error(broken);
    },
    pull(c) {
      if (script === "never") return new Promise(() => {});
      if (script === "endless" || script === "closing fails" || i < 2) c.enqueue(++i);
      else if (script === "error") c.error(broken);
      else c.close();
      return undefined;
    },
    cancel() {
      if (script === "closing fails") throw broken;
    },
  });
}

function nodeStream(script: Script): Readable {
  let i = 0;
  return new Readable({
    objectMode: true,
    highWaterMark: 1,
    construct(cb) {
      cb(script === "error before" ? broken : null);
    },
    read() {
      if (script === "never") return;
      if (script === "endless" || script === "closing fails" || i < 2) this.push(++i);
      else if (script === "error") this.destroy(broken);
      else this.push(null);
    },
  });
}

const feeds: [string, (script: Script) => Feed][] = [
  [
    "fromAsyncIterable",
    (script) => ({ source: fromAsyncIterable(numbers(script)), left: () => "nothing to ask" }),
  ],
  [
    "fromReadableStream",
    (script) => {
      const stream = webStream(script);
      return { source: fromReadableStream(stream), left: () => (stream.locked ? "lock" : "nothing") };
    },
  ],
  [
    "fromNodeReadable",
    (script) => {
      const stream = nodeStream(script);
      return {
        source: fromNodeReadable<number>(stream),
        // Node's iterator leaves its listeners on a stream that is destroyed; they go with the stream.
        left: () => (stream.destroyed ? "nothing" : listeners(stream)),
      };
    },
  ],
];

const nothingLeft: Record<string, unknown> = {
  fromAsyncIterable: "nothing to ask",
  fromReadableStream: "nothing",
  fromNodeReadable: "nothing",
};

describe.each(feeds)("%s", (name, open) => {
  it.each<[Script, number[], unknown]>([
    ["end", [1, 2], null],
    ["error", [1, 2], broken],
    ["error before", [], broken],
  ])("%s: the goroutine gets what came, then the end and its reason", async (script, values, err) => {
    const feed = await clean(function* () {
      const f = open(script);
      expect(yield* rest(f.source)).toEqual(values);
      expect(f.source.err()).toBe(err);
      // As one defers it: after the end there is nothing to stop.
      f.source.stop();
      f.source.stop();
      yield* sleep(5);
      expect(f.source.err()).toBe(err);
      return f;
    });
    expect(feed.left()).toEqual(nothingLeft[name]);
  });

  it("stop with a value waiting: the channel is closed at once, the host is told", async () => {
    const feed = await clean(function* () {
      const f = open("endless");
      expect(yield* f.source.C.recv()).toBe(1);
      yield* sleep(5);
      f.source.stop();
      expect((yield* f.source.C.recv2()).ok).toBe(false);
      f.source.stop();
      yield* sleep(5);
      expect(f.source.err()).toBe(null);
      return f;
    });
    expect(feed.left()).toEqual(nothingLeft[name]);
  });

  it("stop while a goroutine waits for the host", async () => {
    const feed = await clean(function* () {
      const f = open("never");
      go(function* () {
        yield* sleep(5);
        f.source.stop();
      });
      expect((yield* f.source.C.recv2()).ok).toBe(false);
      expect(f.source.err()).toBe(null);
      return f;
    });
    if (name !== "fromAsyncIterable") expect(feed.left()).toEqual(nothingLeft[name]);
  });

  it("keeps the failure of the host's clean-up for err", async () => {
    await clean(function* () {
      const f = open("closing fails");
      yield* f.source.C.recv();
      f.source.stop();
      yield* sleep(5);
      expect(f.source.err()).toBe(name === "fromNodeReadable" ? null : broken);
    });
  });

  it("ends when a goroutine closes its channel", async () => {
    const feed = await clean(function* () {
      const f = open("endless");
      yield* f.source.C.recv();
      (f.source.C as Chan<number>).close();
      yield* sleep(5);
      expect((yield* f.source.C.recv2()).ok).toBe(false);
      return f;
    });
    expect(feed.left()).toEqual(nothingLeft[name]);
  });
});

describe("sources", () => {
  it("refuse what they cannot read, before they hold anything", async () => {
    await clean(function* () {
      expect(() => fromAsyncIterable(3 as never)).toThrow(
        "scheduler: fromAsyncIterable needs an async iterable or an iterable (got number)",
      );
      expect(() =>
        fromAsyncIterable({
          [Symbol.iterator]() {
            throw broken;
          },
        }),
      ).toThrow(broken);
      for (const bad of [5, null, {}]) {
        const got = bad === null ? "null" : bad === 5 ? "number" : "Object";
        const refused = (what: string) => new TypeError(`scheduler: ${what} (got ${got})`);
        expect(() => fromNodeReadable(bad as never)).toThrow(
          refused("fromNodeReadable needs a readable stream of Node"),
        );
        expect(() => fromReadableStream(bad as never)).toThrow(
          refused("fromReadableStream needs a ReadableStream"),
        );
        expect(() => toReadableStream(bad as never)).toThrow(
          refused("toReadableStream needs a channel or a source"),
        );
        expect(() => toWritableStream(bad as never)).toThrow(refused("toWritableStream needs a channel"));
      }
      expect(() => fromEvents(process, undefined as never)).toThrow(
        new TypeError("scheduler: fromEvents: type must be a string or a symbol (got undefined)"),
      );
      const stream = webStream("end");
      expect(() => fromReadableStream(stream, { size: 0.5 })).toThrow(RangeError);
      expect(stream.locked).toBe(false);
      expect(() => fromEvents({} as never, "x")).toThrow(
        "scheduler: fromEvents needs an EventTarget or an EventEmitter (got Object)",
      );
      expect(() => fromAbortSignal(null as never)).toThrow("fromAbortSignal needs an AbortSignal (got null)");
    });
  });

  it("read a socket until the peer ends, resets or the goroutine stops", async () => {
    const server = createServer((peer) => {
      peer.on("error", () => {});
      peer.once("data", (d: Buffer) => {
        if (String(d) === "reset") peer.resetAndDestroy();
        else if (String(d) === "end") peer.end("bye");
      });
    });
    await new Promise<void>((r) => server.listen(0, "127.0.0.1", r));
    const port = (server.address() as AddressInfo).port;
    for (const how of ["end", "reset", "stop"]) {
      const socket = connect(port, "127.0.0.1");
      await clean(function* () {
        const src = fromNodeReadable<Buffer>(socket);
        socket.write(how);
        if (how === "stop") {
          yield* sleep(5);
          src.stop();
        }
        const got = yield* rest(src);
        expect(Buffer.concat(got).toString()).toBe(how === "end" ? "bye" : "");
        expect((src.err() as { code?: string } | null)?.code).toBe(
          how === "reset" ? "ECONNRESET" : undefined,
        );
        yield* sleep(5);
      });
      expect(socket.destroyed).toBe(true);
    }
    await new Promise((r) => server.close(r));
  });
});

// ---- events and signals ----

describe.each([
  ["an EventEmitter", () => new EventEmitter(), (e: unknown) => (e as EventEmitter).emit("x", 1)],
  [
    "an EventTarget",
    () => new EventTarget(),
    (e: unknown) => (e as EventTarget).dispatchEvent(new Event("x")),
  ],
] as [string, () => EventEmitter | EventTarget, (e: unknown) => unknown][])(
  "fromEvents of %s",
  (_, make, fire) => {
    const count = (e: EventEmitter | EventTarget) =>
      e instanceof EventEmitter ? e.listenerCount("x") : getEventListeners(e, "x").length;

    it("has a listener until it is stopped, once or twice", async () => {
      await clean(function* () {
        const e = make();
        const src = fromEvents(e, "x");
        fire(e);
        expect((yield* src.C.recv2()).ok).toBe(true);
        expect(count(e)).toBe(1);
        src.stop();
        src.stop();
        fire(e);
        expect((yield* src.C.recv2()).ok).toBe(false);
        expect(count(e)).toBe(0);
      });
    });

    it("ends when a goroutine closes its channel, and throws nothing at the emitter", async () => {
      await clean(function* () {
        const e = make();
        const src = fromEvents(e, "x");
        (src.C as Chan<unknown>).close();
        fire(e);
        expect(count(e)).toBe(0);
        yield* sleep(1);
      });
    });
  },
);

describe("fromAbortSignal", () => {
  const count = (s: AbortSignal) => getEventListeners(s, "abort").length;

  it("closes its channel at the abort, and leaves no listener", async () => {
    await clean(function* () {
      const controller = new AbortController();
      const c = fromAbortSignal(controller.signal);
      expect(count(controller.signal)).toBe(1);
      setTimeout(() => controller.abort(), 1);
      expect((yield* c.recv2()).ok).toBe(false);
      expect(count(controller.signal)).toBe(0);
      c.stop();
      expect((yield* fromAbortSignal(controller.signal).recv2()).ok).toBe(false);
    });
  });

  it("can be stopped, once or twice; its channel stays open", async () => {
    await clean(function* () {
      const controller = new AbortController();
      for (let i = 0; i < 20; i++) {
        const c = fromAbortSignal(controller.signal);
        c.stop();
        c.stop();
        expect(c.tryRecv().received).toBe(false);
      }
      expect(count(controller.signal)).toBe(0);
      controller.abort();
      yield* sleep(1);
    });
  });

  it("bears a goroutine that has closed its channel", async () => {
    await clean(function* () {
      const controller = new AbortController();
      const c = fromAbortSignal(controller.signal);
      (c as unknown as Chan<never>).close();
      controller.abort();
      yield* sleep(1);
    });
  });
});

// ---- Web streams of channels ----

describe("toReadableStream", () => {
  it("takes a value only when its reader asks, and none when it is cancelled meanwhile", async () => {
    await clean(function* () {
      const c = makeChan<number>(1);
      const stream = toReadableStream(c);
      yield* c.send(0);
      yield* sleep(1);
      expect(c.length).toBe(1);
      const reader = stream.getReader();
      expect((yield* defaultScheduler().syscall(reader.read())).value).toBe(0);
      const pending = reader.read();
      yield* sleep(1);
      void reader.cancel();
      go(function* () {
        yield* c.send(1);
      });
      expect(yield* c.recv()).toBe(1);
      expect((yield* defaultScheduler().syscall(pending)).done).toBe(true);
    });
  });

  it.each<[string, Script, number[], unknown]>([
    ["closes", "end", [1, 2], null],
    ["fails", "error", [1, 2], broken],
  ])("%s with its source", async (_, script, values, err) => {
    await clean(function* () {
      const reader = toReadableStream(fromAsyncIterable(numbers(script))).getReader();
      const got: number[] = [];
      let failure: unknown = null;
      try {
        for (;;) {
          const r = yield* defaultScheduler().syscall(() => reader.read());
          if (r.done) break;
          got.push(r.value);
        }
      } catch (e) {
        failure = e;
      }
      expect(got).toEqual(values);
      expect(failure).toBe(err);
    });
  });

  it("stops its source when it is cancelled", async () => {
    await clean(function* () {
      const src = fromAsyncIterable(numbers("endless"));
      const stream = toReadableStream(src);
      yield* defaultScheduler().syscall(() => stream.cancel());
      expect((yield* src.C.recv2()).ok).toBe(false);
    });
  });
});

describe("toWritableStream", () => {
  it.each(["close", "abort", "abort while a write waits", "abort without a reason"])(
    "%s closes the channel and tells which it was",
    async (how) => {
      await clean(function* () {
        const c = makeChan<string>();
        const stream = toWritableStream(c);
        const w = stream.getWriter();
        w.closed.catch(() => {});
        const waits = how === "abort while a write waits";
        const written = w.write("a");
        written.catch(() => {});
        if (!waits) expect(yield* c.recv()).toBe("a");
        else yield* sleep(1);
        if (how === "close") void w.close();
        else void w.abort(how === "abort without a reason" ? undefined : broken);
        expect((yield* c.recv2()).ok).toBe(false);
        const err = stream.err();
        if (how === "close") expect(err).toBe(null);
        else if (how === "abort without a reason") expect((err as Error).name).toBe("AbortError");
        else expect(err).toBe(broken);
      });
    },
  );

  it("holds the writer back until a goroutine takes the chunk", async () => {
    await clean(function* () {
      const c = makeChan<number>();
      const w = toWritableStream(c).getWriter();
      let written = 0;
      for (let i = 0; i < 3; i++) void w.write(i).then(() => written++);
      yield* sleep(2);
      expect(written).toBe(0);
      yield* c.recv();
      yield* sleep(2);
      expect(written).toBe(1);
      yield* c.recv();
      yield* c.recv();
      yield* defaultScheduler().syscall(() => w.close());
    });
  });

  it("fails its writer once a goroutine has closed the channel", async () => {
    await clean(function* () {
      const c = makeChan<number>();
      const w = toWritableStream(c).getWriter();
      w.closed.catch(() => {});
      c.close();
      let failure = "";
      try {
        yield* defaultScheduler().syscall(() => w.write(1));
      } catch (e) {
        failure = (e as Error).message;
      }
      expect(failure).toBe("send on closed channel");
    });
  });
});

// ---- deadlocks ----

interface Opened {
  /** Lets the host's side end by itself. */
  end(): void;
  stop(): void;
  /** A goroutine waits for it until the channel is closed. */
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
      // A goroutine that closes the channel is the only end that events have, beside stop.
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
  /** Waits for a value that never comes. A missing verdict ends the wait, so that the test fails at once. */
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

  it("is no deadlock while it is open, and no hope once it has ended", async () => {
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

  it("is no hope once it was stopped, by the goroutine or meanwhile", async () => {
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

// ---- to Node and Web streams ----

/** A closed channel that holds five chunks. */
function five(): Chan<string> {
  const c = makeChan<string>(5);
  for (let i = 0; i < 5; i++) c.trySend("0123456789");
  c.close();
  return c;
}

const slow = (chunks: string[]) =>
  new Writable({
    highWaterMark: 1,
    decodeStrings: false,
    write(chunk: string, _e, cb) {
      setTimeout(() => {
        chunks.push(chunk);
        cb();
      }, 1);
    },
  });

function* outcome(g: Generator<undefined, unknown, unknown>): Generator<undefined, unknown, unknown> {
  try {
    return (yield* g) ?? null;
  } catch (e) {
    return e;
  }
}

describe.each([
  ["writeTo", writeTo],
  ["pipe", pipe],
] as [string, typeof pipe][])("%s", (name, write) => {
  it("returns once the stream has written everything, no faster than it does", async () => {
    const chunks: string[] = [];
    const w = slow(chunks);
    await clean(function* () {
      let most = 0;
      const c = makeChan<string>();
      go(function* () {
        for (let i = 1; i <= 5; i++) {
          yield* c.send("0123456789");
          most = Math.max(most, i - chunks.length);
        }
        c.close();
      });
      expect(yield* outcome(write(c, w))).toBe(null);
      expect(chunks.length).toBe(5);
      expect(most).toBeLessThanOrEqual(3);
      expect(w.writableFinished).toBe(true);
    });
    expect(listeners(w)).toEqual({});
  });

  it("listens once to a stream however often it drains", async () => {
    const w = slow([]);
    const seen: Record<string, number>[] = [];
    await clean(function* () {
      const c = makeChan<string>();
      go(function* () {
        for (let i = 0; i < 20; i++) {
          yield* c.send("0123456789");
          seen.push(listeners(w));
        }
        c.close();
      });
      expect(yield* outcome(write(c, w))).toBe(null);
    });
    expect(seen).toHaveLength(20);
    expect(seen[0]).toMatchObject({ drain: 1 });
    for (const now of seen) expect(now).toEqual(seen[0]);
    expect(listeners(w)).toEqual({});
  });

  it.each<[string, (w: Writable) => void, string]>([
    ["destroyed before", (w) => void w.destroy(), "ERR_STREAM_PREMATURE_CLOSE"],
    ["destroyed with an error before", (w) => void w.destroy(broken), "connection reset"],
    ["destroyed meanwhile", (w) => void setTimeout(() => w.destroy(), 2), "ERR_STREAM_PREMATURE_CLOSE"],
    [
      "destroyed with an error meanwhile",
      (w) => void setTimeout(() => w.destroy(broken), 2),
      "connection reset",
    ],
    ["ended before", (w) => void w.end(), "was ended before the channel"],
    ["finished long before", (w) => void w.end(), "was ended before the channel"],
  ])("a stream %s: the error, no hang", async (what, break_, message) => {
    const w = slow([]);
    if (what.includes("with an error before")) w.once("error", () => {});
    break_(w);
    if (what === "finished long before") await later();
    await clean(function* () {
      const e = (yield* outcome(write(five(), w))) as Error & { code?: string };
      expect(`${e.code} ${e.message}`).toContain(message);
    });
    expect(listeners(w)).toEqual({});
    expect(w.destroyed).toBe(true);
  });

  it("wakes when the stream goes while no value comes, and takes none for it", async () => {
    const w = slow([]);
    await clean(function* () {
      const c = makeChan<string>();
      setTimeout(() => w.destroy(broken), 2);
      expect(yield* outcome(write(c, w))).toBe(broken);
      go(function* () {
        yield* c.send("kept");
      });
      expect(yield* c.recv()).toBe("kept");
    });
    expect(listeners(w)).toEqual({});
  });

  it("a write that fails, and one that throws", async () => {
    for (const value of ["x", null, 5]) {
      const w = new Writable({ write: (_c, _e, cb) => cb(broken) });
      await clean(function* () {
        const c = makeChan<never>(1);
        c.trySend(value as never);
        const e = (yield* outcome(write(c, w))) as Error;
        expect(value === "x" ? e === broken : e instanceof TypeError).toBe(true);
      });
      expect(w.destroyed).toBe(true);
      expect(listeners(w)).toEqual({});
    }
  });

  it("a stream whose end fails", async () => {
    const w = new Writable({ write: (_c, _e, cb) => cb(), final: (cb) => cb(broken) });
    await clean(function* () {
      expect(yield* outcome(write(five(), w))).toBe(broken);
    });
    expect(listeners(w)).toEqual({});
  });

  it("a source that fails destroys the stream; a stream that fails stops the source", async () => {
    await clean(function* () {
      const w = slow([]);
      const source = fromAsyncIterable(
        (async function* () {
          yield "a";
          throw broken;
        })(),
      );
      expect(yield* outcome(write(source, w))).toBe(broken);
      yield* sleep(2);
      expect(w.destroyed).toBe(true);
      expect(listeners(w)).toEqual({});
      const readable = nodeStream("endless").map((n: number) => String(n));
      const src = fromNodeReadable<string>(readable);
      const x = slow([]);
      setTimeout(() => x.destroy(broken), 4);
      expect(yield* outcome(write(src, x))).toBe(broken);
      expect((yield* src.C.recv2()).ok).toBe(false);
      yield* sleep(5);
      expect(readable.destroyed).toBe(true);
    });
  });

  it("twice on one stream, and twice on one channel", async () => {
    await clean(function* () {
      const chunks: string[] = [];
      const w = slow(chunks);
      const c = five();
      expect(yield* outcome(write(c, w))).toBe(null);
      expect(String(yield* outcome(write(five(), w)))).toContain("was ended before");
      const x = slow([]);
      expect(yield* outcome(write(c, x))).toBe(null);
      expect(x.writableFinished).toBe(true);
      expect([listeners(w), listeners(x)]).toEqual([{}, {}]);
    });
  });

  it("a duplex stream is done when its writable side is", async () => {
    const p = new PassThrough();
    await clean(function* () {
      expect(yield* outcome(write(five(), p))).toBe(null);
      expect(p.readableLength).toBe(50);
    });
    p.destroy();
  });

  it.each(["reads all", "goes away"])("an http response whose client %s", async (how) => {
    let response: ServerResponse | null = null;
    let arrive: (res: ServerResponse) => void;
    const arrived = new Promise<ServerResponse>((r) => {
      arrive = r;
    });
    const server = createHttpServer((_req, res) => arrive((response = res)));
    await new Promise<void>((r) => server.listen(0, "127.0.0.1", r));
    const port = (server.address() as AddressInfo).port;
    let read = 0;
    let allRead: () => void;
    const ended = new Promise<void>((r) => {
      allRead = r;
    });
    const req = get({ port, host: "127.0.0.1", agent: false }, (r: IncomingMessage) => {
      r.on("error", () => {}).on("end", () => allRead());
      r.on("data", (d: Buffer) => {
        read += d.length;
        if (how === "goes away") r.destroy();
      });
    }).on("error", () => {});
    await clean(function* () {
      const s = defaultScheduler();
      const res = yield* s.syscall(arrived);
      const before = listeners(res);
      const c = makeChan<string>();
      const stop = makeChan<never>();
      go(function* () {
        for (let i = 0; how === "goes away" || i < 4; i++) {
          const r = yield* s.select([sendCase(c, "x".repeat(1 << 20)), recvCase(stop)]);
          if (r.index === 1) return;
        }
        c.close();
      });
      const e = (yield* outcome(write(c, res))) as (Error & { code?: string }) | null;
      stop.close();
      if (how === "reads all") expect(e).toBe(null);
      else expect(e?.code).toMatch(/ERR_STREAM_PREMATURE_CLOSE|ECONNRESET|EPIPE/);
      yield* sleep(5);
      const after = listeners(res);
      for (const event of ["drain", "error", "close", "finish"]) {
        expect(after[event] ?? 0).toBeLessThanOrEqual(before[event] ?? 0);
      }
    });
    if (how === "reads all") {
      await ended;
      expect(read).toBe(4 << 20);
    }
    req.destroy();
    server.closeAllConnections();
    await new Promise((r) => server.close(r));
    expect(response).not.toBe(null);
  });

  it.each(["reads all", "goes away"])("an http2 response whose client %s", async (how) => {
    let arrive: (res: Http2ServerResponse) => void;
    const arrived = new Promise<Http2ServerResponse>((r) => {
      arrive = r;
    });
    const server = createHttp2Server((_req, res) => arrive(res));
    await new Promise<void>((r) => server.listen(0, "127.0.0.1", r));
    const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    client.on("error", () => {});
    const req = client.request();
    let read = 0;
    req.on("error", () => {});
    req.on("data", (d: Buffer) => {
      read += d.length;
      if (how === "goes away") req.close(NGHTTP2_CANCEL);
    });
    await clean(function* () {
      const s = defaultScheduler();
      const res = yield* s.syscall(arrived);
      const c = makeChan<string>();
      const stop = makeChan<never>();
      let sent = 0;
      go(function* () {
        for (; how === "goes away" || sent < 4; sent++) {
          const r = yield* s.select([sendCase(c, "x".repeat(1 << 20)), recvCase(stop)]);
          if (r.index === 1) return;
        }
        c.close();
      });
      const e = yield* outcome(write(c, res));
      stop.close();
      if (how === "reads all") expect(e).toBe(null);
      else expect(e).toBeInstanceOf(Error);
      // Back pressure: not all was taken before the client had read any.
      expect(sent).toBeLessThan(50);
      expect(res.listenerCount("drain")).toBe(0);
      yield* sleep(10);
    });
    if (how === "reads all") expect(read).toBe(4 << 20);
    client.destroy();
    await new Promise((r) => server.close(r));
  });

  it("a socket whose peer resets it", async () => {
    const server = createServer((peer: Socket) => {
      peer.on("error", () => {});
      setTimeout(() => peer.resetAndDestroy(), 5);
    });
    await new Promise<void>((r) => server.listen(0, "127.0.0.1", r));
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    await clean(function* () {
      const c = makeChan<Buffer>();
      expect(((yield* outcome(write(c, socket))) as { code: string }).code).toBe("ECONNRESET");
    });
    expect(socket.destroyed).toBe(true);
    expect(socket.listenerCount("drain")).toBe(0);
    await new Promise((r) => server.close(r));
  });

  it.each(["end", "fails in a write", "fails while no value comes", "fails at its end"])(
    "a Web stream: %s",
    async (how) => {
      const chunks: string[] = [];
      let controller: WritableStreamDefaultController | null = null;
      const stream = new WritableStream<string>({
        start(c) {
          controller = c;
        },
        async write(chunk) {
          await later(1);
          if (how === "fails in a write") throw broken;
          chunks.push(chunk);
        },
        close() {
          if (how === "fails at its end") throw broken;
        },
      });
      await clean(function* () {
        const c = how === "fails while no value comes" ? makeChan<string>() : five();
        if (how === "fails while no value comes") setTimeout(() => controller!.error(broken), 2);
        expect(yield* outcome(write(c, stream))).toBe(how === "end" ? null : broken);
        if (how === "end") expect(chunks.length).toBe(5);
      });
      expect(stream.locked).toBe(false);
    },
  );

  it("throws if it gets no stream, or neither a channel nor a source", async () => {
    await clean(function* () {
      const fault = (from: unknown, stream: unknown) => {
        try {
          write(from as never, stream as never).next();
        } catch (e) {
          return String(e);
        }
        return "none";
      };
      const noStream = `TypeError: scheduler: ${name} needs a writable stream of Node or of the Web`;
      const noChannel = `TypeError: scheduler: ${name} needs a channel or a source`;
      expect(fault(five(), { write() {} })).toBe(`${noStream} (got Object)`);
      expect(fault(five(), { destroy() {} })).toBe(`${noStream} (got Object)`);
      expect(fault(five(), 5)).toBe(`${noStream} (got number)`);
      expect(fault(five(), "text")).toBe(`${noStream} (got string)`);
      expect(fault(five(), null)).toBe(`${noStream} (got null)`);
      expect(fault(five(), undefined)).toBe(`${noStream} (got undefined)`);
      expect(fault(five(), () => {})).toBe(`${noStream} (got function)`);
      expect(fault(five(), Object.create(null))).toBe(`${noStream} (got object)`);
      const stream = new WritableStream();
      expect(fault(5, stream)).toBe(`${noChannel} (got number)`);
      expect(fault(null, stream)).toBe(`${noChannel} (got null)`);
      expect(fault({ C: 5 }, stream)).toBe(`${noChannel} (got Object)`);
      expect(stream.locked).toBe(false);
    });
  });

  it.each(["end", "destroy"] as const)("takes no value for a Node stream after its %s", async (end) => {
    await clean(function* () {
      const c = makeChan<string>(1);
      yield* c.send("kept");
      const stream = new PassThrough();
      stream.resume();
      stream[end]();
      expect(yield* outcome(write(c, stream))).toBeInstanceOf(Error);
      expect(c.length).toBe(1);
    });
  });
});
