import { describe, expectTypeOf, it } from "vitest";
import type { RecvResult, SelectResult } from "../src/index.ts";
import { frame, go, main, makeChan, recvCase, select, sendCase, syscall } from "../src/index.ts";

describe("types", () => {
  it("are those of the values that travel", () => {
    // Never called: only its types matter.
    function* body() {
      const c = makeChan<string>(1);
      expectTypeOf(yield* c.recv()).toEqualTypeOf<string | undefined>();
      expectTypeOf(yield* c.recv2()).toEqualTypeOf<RecvResult<string>>();
      expectTypeOf(yield* c.send("x")).toEqualTypeOf<void>();
      expectTypeOf(yield* syscall(async () => 5)).toEqualTypeOf<number>();
      const n = makeChan<number>();
      const r = yield* select([recvCase(c), recvCase(n), sendCase(n, 3)]);
      expectTypeOf(r).toEqualTypeOf<SelectResult<string | number>>();
      expectTypeOf(
        yield* frame(function* () {
          yield* c.send("y");
          return 1;
        }),
      ).toEqualTypeOf<number | undefined>();
      go((a: number, b: string) => void [a, b], 1, "x");
      // @ts-expect-error the argument is no number
      go((a: number) => a, "x");
      // @ts-expect-error a string channel takes strings
      c.trySend(1);
      return true;
    }
    expectTypeOf(body).returns.toExtend<Generator<undefined, boolean, unknown>>();
    expectTypeOf(() => main(body)).returns.toEqualTypeOf<Promise<boolean>>();
    expectTypeOf(() => makeChan<number>().recv()).returns.toExtend<PromiseLike<number | undefined>>();
  });
});
