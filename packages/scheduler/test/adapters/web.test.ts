import { describe, expect, it } from "vitest";
import { fromAsyncIterable, toReadableStream, toWritableStream } from "../../src/adapters.ts";
import { defaultScheduler, go, makeChan, sleep } from "../../src/index.ts";
import { broken, clean, numbers, type Script } from "./kit.ts";

describe("toReadableStream", () => {
  it("takes a value only when its reader asks, and none for a read that is cancelled", async () => {
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

  it("stops its source when the stream is cancelled", async () => {
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

  it("fails writes once a goroutine has closed the channel", async () => {
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
