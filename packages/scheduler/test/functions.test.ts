import { describe, expect, it } from "vitest";
import { afterFunc as afterFuncOf, background, withCancel } from "../src/context.ts";
import { afterFunc, defer, frame, go, main, makeChan, setDefaultScheduler } from "../src/index.ts";
import { Group, Once, onceFunc, onceValue, Singleflight, SyncMap, WaitGroup } from "../src/sync/index.ts";
import { createTestScheduler } from "../src/testing.ts";

type F = () => never;

function* drive(x: unknown): Generator<undefined, void, unknown> {
  if (x !== undefined && x !== null) yield* x as Generator<undefined, unknown, unknown>;
}

/** Every function of the API that runs a given function in a goroutine. */
const takers: [string, (f: F) => unknown][] = [
  ["go", (f) => drive(go(f) && null)],
  ["WaitGroup.go", (f) => drive(new WaitGroup().go(f) && null)],
  ["Group.go", (f) => new Group().go(f)],
  ["Group.tryGo", (f) => drive(new Group().tryGo(f) && null)],
  ["Once.do", (f) => new Once().do(f)],
  ["onceFunc", (f) => onceFunc(f)()],
  ["onceValue", (f) => onceValue(f)()],
  ["Singleflight.do", (f) => new Singleflight().do("k", f)],
  ["Singleflight.doChan", (f) => new Singleflight().doChan("k", f).recv()],
  ["frame", (f) => frame(f)],
  ["defer", (f) => drive(defer(f))],
  ["context.afterFunc", (f) => drive(afterFuncOf(withCancel(background()).ctx, f) && null)],
  [
    "forEach",
    (f) => {
      const c = makeChan<number>(1);
      c.trySend(1);
      return c.forEach(f);
    },
  ],
  ["SyncMap.range", (f) => drive(new SyncMap<number, number>().range(f))],
];

function attempt(take: (f: F) => unknown, f: unknown): { error: unknown; ngoroutines: number } {
  const s = createTestScheduler();
  const old = setDefaultScheduler(s);
  try {
    return s.runMain(function* () {
      let error: unknown = null;
      try {
        yield* drive(take(f as F));
      } catch (e) {
        error = e;
      }
      return { error, ngoroutines: s.numGoroutine() };
    });
  } finally {
    if (old !== null) setDefaultScheduler(old);
  }
}

describe("a function for a goroutine", () => {
  it.each(takers)("%s refuses an async function before it does anything", (what, take) => {
    let ran = false;
    const { error, ngoroutines } = attempt(take, async () => {
      ran = true;
    });
    expect(String(error)).toMatch(/^TypeError: scheduler: .* needs a generator function, not an async one/);
    expect(String(error)).toContain(`scheduler: ${what} needs`);
    expect(ran).toBe(false);
    expect(ngoroutines).toBe(1);
  });

  it.each(takers)("%s refuses an async generator function", (_, take) => {
    expect(String(attempt(take, async function* () {}).error)).toContain("not an async one");
  });

  it.each(takers)("%s refuses an argument that is no function", (_, take) => {
    expect(String(attempt(take, 3).error)).toMatch(/needs a function \(got number\)/);
  });

  it.each(["forEach", "frame", "Once.do", "onceFunc", "onceValue", "Singleflight.do"])(
    "%s refuses a promise that an ordinary function returns, whose rejection ends nothing",
    async (what) => {
      const take = takers.find(([name]) => name === what)![1];
      const { error } = attempt(take, () => Promise.reject(new Error("lost")));
      expect(String(error)).toContain(
        `scheduler: ${what} needs a generator function or a function that does not`,
      );
      // An unhandled rejection would fail the test run.
      await new Promise((r) => setTimeout(r, 1));
    },
  );

  it("fails its Group, or makes defer panic, if it returns a promise", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      const g = new Group();
      g.go((() => Promise.resolve(1)) as F);
      expect(String(yield* g.wait())).toContain("returned a promise");
      let message = "";
      try {
        yield* frame(() => defer((() => Promise.resolve(1)) as F));
      } catch (e) {
        message = String(e);
      }
      expect(message).toContain("scheduler: defer needs");
    });
  });

  it("is refused by the types", () => {
    // Never called: only the types matter.
    function* body() {
      // @ts-expect-error async
      go(async () => {});
      // @ts-expect-error async
      new WaitGroup().go(async () => {});
      // @ts-expect-error async
      yield* new Group().go(async () => {});
      // @ts-expect-error async
      yield* new Once().do(async () => {});
      // @ts-expect-error async
      onceFunc(async () => {});
      // @ts-expect-error async
      onceValue(async () => 1);
      // @ts-expect-error async
      yield* new Singleflight<string, number>().do("k", async () => 1);
      // @ts-expect-error async
      yield* frame(async () => 1);
      // @ts-expect-error async
      defer(async () => {});
      // @ts-expect-error async
      afterFunc(1, async () => {});
      // @ts-expect-error async
      afterFuncOf(background(), async () => {});
      // @ts-expect-error async
      yield* makeChan<number>().forEach(async (v) => v);
      // @ts-expect-error async
      void main(async () => {});
      const unknown: () => unknown = () => 1;
      go(unknown);
      go(() => makeChan<number>().recv());
      defer(unknown);
      go(function* (a: number) {
        yield* makeChan<number>().send(a);
      }, 1);
    }
    expect(body).toBeTypeOf("function");
  });
});
