import { createServer as createHttpServer, get, type IncomingMessage, type ServerResponse } from "node:http";
import {
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2ServerResponse,
} from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { fromAsyncIterable, fromNodeReadable, pipe, writeTo } from "../../src/adapters.ts";
import { type Chan, defaultScheduler, go, makeChan, recvCase, sendCase, sleep } from "../../src/index.ts";
import { broken, clean, later, listeners, nodeStream } from "./kit.ts";

const { NGHTTP2_CANCEL } = constants;

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
  it("takes values no faster than the stream writes them, and returns when all are written", async () => {
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

  it("adds one drain listener to a stream, however often it drains", async () => {
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
  ])("returns or throws the error of a stream that is %s", async (what, break_, message) => {
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

  it("wakes when the stream ends while no value comes, and takes no value afterwards", async () => {
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

  it("gives the error of a write that fails and of a write that throws", async () => {
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

  it("gives the error of a stream whose end fails", async () => {
    const w = new Writable({ write: (_c, _e, cb) => cb(), final: (cb) => cb(broken) });
    await clean(function* () {
      expect(yield* outcome(write(five(), w))).toBe(broken);
    });
    expect(listeners(w)).toEqual({});
  });

  it("destroys the stream if the source fails, and stops the source if the stream fails", async () => {
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

  it("fails on a stream that it has ended, and ends a stream if the channel is closed and empty", async () => {
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

  it("returns when the writable side of a duplex stream has finished", async () => {
    const p = new PassThrough();
    await clean(function* () {
      expect(yield* outcome(write(five(), p))).toBe(null);
      expect(p.readableLength).toBe(50);
    });
    p.destroy();
  });

  it.each(["reads all", "goes away"])("serves an http response whose client %s", async (how) => {
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

  it.each(["reads all", "goes away"])("serves an http2 response whose client %s", async (how) => {
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
      // Back pressure: some values were still in the channel when the client read the first.
      expect(sent).toBeLessThan(50);
      expect(res.listenerCount("drain")).toBe(0);
      yield* sleep(10);
    });
    if (how === "reads all") expect(read).toBe(4 << 20);
    client.destroy();
    await new Promise((r) => server.close(r));
  });

  it("gives ECONNRESET for a socket that its peer resets", async () => {
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
    "writes to a Web stream with the case: %s",
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

  it("throws for an argument that is no stream, no channel and no source", async () => {
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

  it.each(["end", "destroy"] as const)("takes no value for a Node stream after `%s`", async (end) => {
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
