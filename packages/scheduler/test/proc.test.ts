import { describe, expect, it } from "vitest";
import { createScheduler, FatalError, go, gosched, main, makeChan, sleep } from "../src/index.ts";

describe("main", () => {
  it("resolves with what the main goroutine returns", async () => {
    expect(
      await main(function* () {
        const c = makeChan<number>();
        go(function* () {
          for (let i = 1; i <= 3; i++) yield* c.send(i);
          c.close();
        });
        let sum = 0;
        yield* c.forEach((v) => {
          sum += v;
        });
        yield* gosched();
        yield* sleep(1);
        return sum;
      }),
    ).toBe(6);
  });

  it("rejects with a FatalError when all goroutines are asleep", async () => {
    const s = createScheduler();
    const e = await s
      .main(function* () {
        yield* s.makeChan().recv();
      })
      .catch((e: unknown) => e);
    expect(e).toBeInstanceOf(FatalError);
    expect((e as FatalError).message).toBe("all goroutines are asleep - deadlock!");
  });
});
