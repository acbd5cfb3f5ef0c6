import type { Addr } from "@gort/memory";
import type { GCRecord } from "../src/gc-stats.ts";
import { SPECIAL_CLEANUP, SPECIAL_FINALIZER } from "../src/heap.ts";
import { Finalizers } from "../src/mfinal.ts";
import { type RigOptions, rig } from "./kit.ts";

/** A rig whose finalizers run when the test says so, not as microtasks. */
export function setUp(options: RigOptions = {}) {
  let woken = 0;
  const r = rig({
    world: {
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 1,
      ready: () => {
        woken++;
      },
    },
    godebug: { clobberfree: 1, gccheckmark: 1 },
    ...options,
  });
  const { a, gc, node, u32 } = r;
  return {
    ...r,
    woken: () => woken,
    make(next = 0): Addr {
      const p = a.mallocTyped(node);
      gc.storePointer(p, next);
      return p;
    },
    /** A collection, then all finalizers. */
    cycle(): void {
      gc.gc();
      gc.finalizers.run();
    },
    u32,
  };
}

/** Finalizers without a collector: the test says what the sweeper finds, and keeps what the host is asked for. */
export function bare() {
  const { a, gc, node, u32 } = rig();
  const calls: string[] = [];
  const counted: string[] = [];
  const host = {
    marking: false,
    shade: (p: number) => void calls.push(`shade ${p}`),
    scanFinalizerObject: (base: number) => void calls.push(`scan ${base}`),
    ensureSwept: (span: number): void => void calls.push(`sweep ${span}`),
    wake: () => void calls.push("wake"),
  };
  const record = { countFinalization: (name: string) => void counted.push(name) } as unknown as GCRecord;
  const fin = new Finalizers(gc.heap, host, record);
  const said = (): string[] => calls.splice(0);
  return {
    a,
    u32,
    fin,
    host,
    counted,
    said,
    make: () => a.mallocTyped(node),
    /** The object's finalizer is due. */
    finalize(p: Addr): void {
      fin.queueFinalizer(a.removeSpecial(p, SPECIAL_FINALIZER), p);
    },
    /** The object is freed. */
    cleanUp(p: Addr): void {
      fin.queueCleanup(a.removeSpecial(p, SPECIAL_CLEANUP));
    },
  };
}
