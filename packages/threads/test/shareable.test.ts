import { int, type Ref, type Slice, struct } from "@gort/types";
import { describe, expectTypeOf, it } from "vitest";
import type { HeapHandle } from "../src/handles.ts";
import { type Arg, type Args, Cloned, clone, type NotShareable, type Shareable } from "../src/index.ts";

const Point = struct("Point", { x: int });
type Point = typeof Point;

/** As `go` of the runtime takes a task. */
function go<A extends readonly unknown[]>(task: (...args: A) => unknown, ...args: Args<A>): unknown {
  return [task, args];
}

describe("the types of arguments", () => {
  it("are the task's own for values that all threads share, and Cloned for others", () => {
    expectTypeOf<Arg<number>>().toEqualTypeOf<number>();
    expectTypeOf<Arg<"a" | 7n | null | undefined>>().toEqualTypeOf<"a" | 7n | null | undefined>();
    expectTypeOf<Arg<Ref<Point> | null>>().toEqualTypeOf<Ref<Point> | null>();
    expectTypeOf<Arg<Slice<typeof int>>>().toEqualTypeOf<Slice<typeof int>>();
    expectTypeOf<Arg<HeapHandle>>().toEqualTypeOf<HeapHandle>();
    expectTypeOf<Arg<{ a: 1 }>>().toEqualTypeOf<Cloned<{ a: 1 }>>();
    expectTypeOf<Arg<number[] | number>>().toEqualTypeOf<Cloned<number[]> | number>();
    expectTypeOf<Arg<unknown>>().toEqualTypeOf<Shareable | Cloned<unknown>>();
    expectTypeOf<Args<[a: number, b?: Date]>>().toEqualTypeOf<[a: number, b?: Cloned<Date>]>();
    expectTypeOf<Args<string[]>>().toEqualTypeOf<string[]>();
  });

  it("of functions and symbols say why no thread can give them to another", () => {
    expectTypeOf<Arg<() => void>>().toEqualTypeOf<NotShareable<"functions stay on their thread">>();
    expectTypeOf<Arg<(a: string, b: number) => void>>().toEqualTypeOf<
      NotShareable<"functions stay on their thread">
    >();
    expectTypeOf<Arg<symbol>>().toEqualTypeOf<NotShareable<"symbols stay on their thread">>();
  });

  it("let TypeScript refuse a wrong call of go", () => {
    const callBack = (f: () => number): number => f();
    const anything = (x: unknown): unknown => x;
    const five = (): number => 5;
    const task = (n: number, p: Ref<Point>, list: Slice<typeof int>, options: { deep: boolean }) => [
      n,
      p,
      list,
      options,
    ];
    // Never called, only compiled.
    const calls = (p: Ref<Point>, list: Slice<typeof int>): unknown => [
      go(task, 1, p, list, clone({ deep: true })),
      go((x: unknown) => x, p),
      go((x: unknown) => x, clone([1])),
      go((x: Slice<typeof int> | null) => x, null),
      // @ts-expect-error a plain object needs clone
      go(task, 1, p, list, { deep: true }),
      // @ts-expect-error a clone of another type
      go(task, 1, p, list, clone({ deep: 1 })),
      // @ts-expect-error a Slice for a Ref
      go(task, 1, list, list, clone({ deep: true })),
      // @ts-expect-error too few arguments
      go(task, 1, p),
      // @ts-expect-error a function
      go(callBack, five),
      // @ts-expect-error a function for an unknown value
      go(anything, five),
      // @ts-expect-error an array needs clone
      go((x: number[]) => x, [1]),
    ];
    expectTypeOf(calls).returns.toBeUnknown();
    expectTypeOf(clone(new Map([["a", 1]]))).toEqualTypeOf<Cloned<Map<string, number>>>();
    expectTypeOf(Cloned).not.toBeAny();
  });
});
