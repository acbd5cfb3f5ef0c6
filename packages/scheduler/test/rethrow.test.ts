import { describe, expect, it } from "vitest";
import { createScheduler } from "../src/index.ts";
import { run } from "./kit.ts";

describe("the value that a wait throws into its goroutine", () => {
  const reasons = [null, undefined, 0, "text", new Error("own")];

  it("is the reason of the signal, of any type", () => {
    const seen: unknown[] = [];
    const caught = function* (wait: () => Generator<undefined, unknown, unknown>) {
      try {
        yield* wait();
      } catch (e) {
        seen.push(e);
      }
    };
    run(function* (s) {
      for (const reason of reasons) {
        const c = s.makeChan<number>();
        const controller = new AbortController();
        s.go(function* () {
          yield* caught(function* () {
            yield* c.recv().withSignal(controller.signal);
          });
        });
        yield* s.gosched();
        controller.abort(reason);
        yield* s.gosched();
        yield* caught(function* () {
          yield* c.recv().withSignal(controller.signal);
        });
      }
    });
    // Without a reason the signal makes an AbortError.
    const told = reasons.map((r) => (r === undefined ? expect.objectContaining({ name: "AbortError" }) : r));
    expect(seen).toEqual(told.flatMap((r) => [r, r]));
  });

  it("is the reason of the rejected promise, of any type", async () => {
    const s = createScheduler();
    for (const reason of reasons) {
      const seen = await s.main(function* () {
        try {
          yield* s.syscall(Promise.reject(reason));
        } catch (e) {
          return [e];
        }
        return [];
      });
      expect(seen).toEqual([reason]);
    }
  });
});
