/** The TypeScript types of the arguments of tasks: what `go(t, ...args)` takes. */
import type { Ptr } from "@gort/memory";
import type { Type } from "@gort/types";
import type { Cloned } from "./clone.ts";
import type { HeapHandle } from "./handles.ts";

/** A Ref, a Slice or a channel of any type. `Slice<Type>` would not do: a slice of ints is none. */
interface HeapValue {
  readonly $addr: Ptr<Type>;
  release(): void;
}

/** The values that every thread can get as they are. */
export type Shareable = undefined | null | boolean | number | bigint | string | HeapValue | HeapHandle;

/** What TypeScript shows for an argument that no thread can give to another. */
export interface NotShareable<Reason extends string> {
  readonly notShareable: Reason;
}

/**
 * The argument from which a task gets a parameter P: the value itself if all threads can share it, else a result of
 * `clone`. Functions and symbols belong to one thread.
 */
export type Arg<P> = unknown extends P
  ? Shareable | Cloned<P>
  : P extends Shareable
    ? P
    : P extends (...args: never[]) => unknown
      ? NotShareable<"functions stay on their thread">
      : P extends symbol
        ? NotShareable<"symbols stay on their thread">
        : Cloned<P>;

/** The arguments of `go` for a task with the parameters A. */
export type Args<A extends readonly unknown[]> = { [K in keyof A]: Arg<A[K]> };
