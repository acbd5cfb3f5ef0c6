import { describe, expectTypeOf, it } from "vitest";
import type { RecvResult, SelectCase, SelectResult } from "../src/index.ts";
import { defaultCase, frame, go, main, makeChan, recvCase, select, sendCase, syscall } from "../src/index.ts";

describe("types", () => {
  it("of results are those of the values sent", () => {
    // Never called, only compiled.
    function* body() {
      const c = makeChan<string>(1);
      expectTypeOf(yield* c.recv()).toEqualTypeOf<string | undefined>();
      expectTypeOf(yield* c.recv2()).toEqualTypeOf<RecvResult<string>>();
      expectTypeOf(yield* c.send("x")).toEqualTypeOf<void>();
      expectTypeOf(yield* syscall(async () => 5)).toEqualTypeOf<number>();
      const r2 = yield* c.recv2();
      expectTypeOf(r2.value).toEqualTypeOf<string | undefined>();
      if (r2.ok) expectTypeOf(r2.value).toEqualTypeOf<string>();
      else expectTypeOf(r2.value).toEqualTypeOf<undefined>();
      const t = c.tryRecv();
      if (t.ok) expectTypeOf(t.value).toEqualTypeOf<string>();
      if (!t.received) expectTypeOf(t.value).toEqualTypeOf<undefined>();

      const n = makeChan<number>();
      const r = yield* select([recvCase(c), recvCase(n), sendCase(n, 3), defaultCase]);
      expectTypeOf(r.index).toEqualTypeOf<0 | 1 | 2 | 3>();
      switch (r.index) {
        case 0:
          expectTypeOf(r.value).toEqualTypeOf<string | undefined>();
          if (r.ok) expectTypeOf(r.value).toEqualTypeOf<string>();
          break;
        case 1:
          expectTypeOf(r.value).toEqualTypeOf<number | undefined>();
          break;
        case 2:
          expectTypeOf(r.value).toEqualTypeOf<undefined>();
          expectTypeOf(r.ok).toEqualTypeOf<false>();
          break;
        default:
          expectTypeOf(r.index).toEqualTypeOf<3>();
      }
      const { index, value, ok } = yield* select([recvCase(c), recvCase(n)]);
      if (index === 1 && ok) expectTypeOf(value).toEqualTypeOf<number>();
      const list = [c, c].map((x) => recvCase(x));
      expectTypeOf(yield* select(list)).toEqualTypeOf<SelectResult<string>>();
      const mixed: SelectCase<string>[] = [recvCase(c), sendCase(c, "x")];
      const m = yield* select(mixed);
      if (m.ok) expectTypeOf(m.value).toEqualTypeOf<string>();
      expectTypeOf(yield* c.recv().withSignal(AbortSignal.abort())).toEqualTypeOf<string | undefined>();
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
