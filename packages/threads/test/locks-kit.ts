/** Helpers for the tests of locks in the heap. */
import { FatalError } from "@gort/base";
import type { Addr } from "@gort/memory";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "@gort/scheduler/testing";
import { createBumpHeap, createTypes, type TypedHeap } from "@gort/types";
import { expect } from "vitest";
import { LockEnv } from "../src/lock-env.ts";
import { verifySemas } from "../src/sema-verify.ts";
import { Waiters, waitersOf } from "../src/sudog.ts";

/** Checks that no goroutine waits for a lock of the heap, and that all waits have been cleaned up. */
export function expectNoWaits(waiters: Waiters): void {
  expect(verifySemas(waiters)).toBe(0);
  expect(waiters.stats().inUse).toBe(0);
}

/** Runs `f` as the main goroutine in virtual time, with a new heap. At its end verifies the scheduler and the locks. */
export function run<T>(
  f: (s: TestScheduler, types: TypedHeap) => Generator<undefined, T, unknown> | T,
  s: TestScheduler = createTestScheduler(),
): T {
  const heap = createBumpHeap();
  const types = createTypes(heap);
  const result = s.runMain(() => f(s, types));
  verifyScheduler(s);
  expectNoWaits(waitersOf(heap.mem));
  return result;
}

/** The message of the fatal error that `f` throws; another error as it is; null without an error. */
export function fatalOf(f: () => void): unknown {
  try {
    f();
  } catch (e) {
    return e instanceof FatalError ? e.message : e;
  }
  return null;
}

/** Several Ms on one JavaScript thread. A post waits in a list until the test delivers it. */
export function machines(n: number): { envs: LockEnv[]; inboxes: Addr[][]; deliver(m: number): void } {
  const heap = createBumpHeap();
  const inboxes: Addr[][] = Array.from({ length: n }, () => []);
  const envs = inboxes.map(
    (_, m) =>
      new LockEnv(
        heap,
        new Waiters(heap.mem, { m, count: n, post: (to, node) => void inboxes[to].push(node) }),
      ),
  );
  const deliver = (m: number): void => {
    for (const node of inboxes[m].splice(0)) envs[m].waiters.deliver(node);
  };
  return { envs, inboxes, deliver };
}
