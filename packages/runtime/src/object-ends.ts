/**
 * Finalizers and cleanups of typed objects: checks of the arguments, and calls of the collector's tables. The
 * goroutines that run the functions are in finalizers.ts.
 */
import type { Allocator } from "@gort/allocator/internal";
import type { Cleanup, Collector } from "@gort/gc";
import type { Addr, Ptr } from "@gort/memory";
import type { NotAsync } from "@gort/scheduler";
import { checkFunction, checkResult, isBody, panic } from "@gort/scheduler/internal";
import type { Ref, RefMembers, Type, TypedHeap } from "@gort/types";

/** The parts of a runtime that hold its objects. */
export interface ObjectHeap {
  readonly allocator: Allocator;
  readonly collector: Collector;
  readonly types: TypedHeap;
}

/** See Runtime.setFinalizer. */
export function setFinalizer<T extends Type, R>(
  { collector, types }: ObjectHeap,
  x: RefMembers<T>,
  f: ((x: Ref<T>) => NotAsync<R>) | null,
): void {
  const { finalizers } = collector;
  if (x === null) finalizers.setFinalizer(0 as Addr, null);
  const { type, addr } = types.target("setFinalizer", x);
  if (f === null) {
    finalizers.setFinalizer(addr, null);
    return;
  }
  if (typeof f !== "function") {
    throw new TypeError(`runtime: setFinalizer needs a function or null (got ${typeof f})`);
  }
  checkFunction("setFinalizer", f, "runtime");
  finalizers.setFinalizer(addr, (p: Addr) => {
    const r = f(types.ref(type, p as Ptr<T>)!);
    // Checked here, because the goroutine of finalizers does not know the name of f.
    if (!isBody(r)) checkResult("setFinalizer", f, r, "runtime");
    return r;
  });
}

/** See Runtime.addCleanup. */
export function addCleanup<T extends Type, A, R>(
  { allocator, collector, types }: ObjectHeap,
  x: RefMembers<T>,
  f: (arg: A) => NotAsync<R>,
  arg: A,
): Cleanup {
  if (x === null) panic("runtime.AddCleanup: ptr is nil");
  const { addr } = types.target("addCleanup", x);
  checkFunction("addCleanup", f, "runtime");
  const other = types.addressOf(arg);
  if (other === (addr as number)) panic("runtime.AddCleanup: ptr is equal to arg, cleanup will never run");
  if (allocator.findObject(addr) === 0 && addr !== (allocator.zerobase as number)) {
    panic("runtime.AddCleanup: ptr not in allocated block");
  }
  if (collector.finalizers.sameObject(addr, other as Addr)) {
    panic("runtime.AddCleanup: ptr is within arg, cleanup will never run");
  }
  return collector.finalizers.addCleanup(addr, f, arg);
}
