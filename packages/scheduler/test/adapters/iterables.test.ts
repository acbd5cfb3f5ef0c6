import { type AddressInfo, connect, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import {
  fromAbortSignal,
  fromAsyncIterable,
  fromEvents,
  fromNodeReadable,
  fromReadableStream,
  type Source,
  toReadableStream,
  toWritableStream,
} from "../../src/adapters.ts";
import { type Chan, go, sleep } from "../../src/index.ts";
import { broken, clean, listeners, nodeStream, numbers, rest, type Script, webStream } from "./kit.ts";

interface Feed {
  source: Source<number>;
  /** What is left on the host's side. */
  left(): unknown;
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
        // Node's iterator leaves its listeners on a destroyed stream. They die with the stream.
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
  ])(
    "%s: the goroutine gets the values, then the end, and err gives its reason",
    async (script, values, err) => {
      const feed = await clean(function* () {
        const f = open(script);
        expect(yield* rest(f.source)).toEqual(values);
        expect(f.source.err()).toBe(err);
        // A deferred stop runs after the end, where it has nothing to do.
        f.source.stop();
        f.source.stop();
        yield* sleep(5);
        expect(f.source.err()).toBe(err);
        return f;
      });
      expect(feed.left()).toEqual(nothingLeft[name]);
    },
  );

  it("stop with a value waiting closes the channel at once and cancels the host's side", async () => {
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

  it("stop wakes a goroutine that waits for the host", async () => {
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

  it("keeps the error of the host's clean-up for err", async () => {
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
  it("refuse arguments that they cannot read, before they take a lock or a listener", async () => {
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

  it("read a socket until the peer ends it, the peer resets it or the goroutine stops", async () => {
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
