/** What a thread that attaches to the memory finds of the collector: all of it is read through a second view. */
import { type Allocator, createAllocator } from "@gort/allocator";
import { type Addr, attachLinearMemory, createLinearMemory, isFatalError } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { GCState } from "../src/gc-state.ts";
import { GCHeap } from "../src/heap.ts";
import { NO_MEMORY_LIMIT } from "../src/index.ts";
import { GCRecord } from "../src/internal.ts";
import { Roots } from "../src/mark-roots.ts";
import { MarkState } from "../src/mark-state.ts";
import { Finalizers } from "../src/mfinal.ts";
import { ReentrancyGuard } from "../src/reentrancy-guard.ts";
import { RefTable } from "../src/ref-table.ts";
import { FakeClock } from "../src/testing.ts";
import { MiB, type Rig, type RigOptions, rig } from "./kit.ts";

interface SecondView extends Rig {
  /** The state as the second view has it. */
  readonly state: GCState;
  readonly other: Allocator;
}

function twoViews(options: RigOptions = {}): SecondView {
  const r = rig({ shared: true, ...options });
  r.a.share();
  const { memory, buffer } = r.a.mem;
  const other = createAllocator({ memory: attachLinearMemory(memory ?? buffer) });
  return { ...r, other, state: GCState.attach(other.mem) as GCState };
}

/** The roots, the ref table and the finalizers over the second view. */
function partsOf({ other, state }: SecondView) {
  const heap = new GCHeap(other);
  const host = { marking: false, shade() {}, scanFinalizerObject() {}, ensureSwept() {}, wake() {} };
  const refs = new RefTable(other.mem, host);
  const finalizers = new Finalizers(heap, host, GCRecord.attach(other.mem) as GCRecord);
  return { refs, finalizers, roots: new Roots(heap, refs, finalizers, state.roots) };
}

describe("the state in linear memory", () => {
  it("is not there before a collector is made, and is found after", () => {
    const mem = createLinearMemory({ maxMemory: 64 * MiB });
    expect(GCState.attach(mem)).toBe(null);
    const made = new GCState(mem);
    made.cycle.requested = true;
    expect(GCState.attach(mem)?.cycle.requested).toBe(true);
  });

  it("has the settings, and their changes", () => {
    const { gc, state } = twoViews({ gogc: 250, memoryLimit: 2n ** 60n + 1n });
    const { pacer } = state;
    expect([pacer.gcPercent, pacer.memoryLimit, pacer.limitBytes]).toEqual([250, 2n ** 60n + 1n, 2 ** 60]);
    gc.setGCPercent(-5);
    gc.setMemoryLimit(NO_MEMORY_LIMIT);
    expect([pacer.gcPercent, pacer.memoryLimit, pacer.limitBytes]).toEqual([-1, NO_MEMORY_LIMIT, Infinity]);
  });

  it("says that a cycle is wanted, that it marks, and what it has begun with", () => {
    const clock = new FakeClock();
    clock.now = 5000;
    let stopped = false;
    const world = {
      stopTheWorld: () => {},
      startTheWorld: () => {
        stopped = view.state.cycle.stopped;
      },
      gomaxprocs: () => 3,
      ready: () => {},
    };
    const view = twoViews({ clock, world });
    const { a, gc, node, state } = view;
    const { cycle, pacer } = state;
    gc.refs.alloc(a.mallocTyped(node));
    gc.requestGC();
    expect([cycle.requested, cycle.marking]).toEqual([true, false]);
    expect(gc.step()).toBe("start");
    const live = gc.heap.heapLive;
    expect(live).toBeGreaterThan(0);
    expect([cycle.requested, cycle.marking, cycle.forced, cycle.stw]).toEqual([false, true, false, false]);
    expect([cycle.procs, cycle.start, cycle.heapStart]).toEqual([3, 5000, live]);
    expect([cycle.goal, pacer.triggered]).toEqual([gc.heap.heapGoal, live]);
    gc.setGCPercent(900);
    expect(cycle.goal).toBe(gc.heap.heapGoal);
    while (gc.step() !== "terminate") clock.advance(10);
    expect([cycle.marking, pacer.triggered, pacer.lastEnd]).toEqual([false, 0, clock.now]);
    // The world is said to run before it is started.
    expect(stopped).toBe(false);
  });

  it("says that the world is stopped while the collector has it stopped", () => {
    const seen: boolean[] = [];
    const note = (): void => void seen.push(view.state.cycle.stopped);
    const view = twoViews({ events: { gcStart: note, markDone: note, sweepDone: note } });
    view.gc.gc();
    expect(seen).toEqual([true, true, false]);
    expect(view.state.cycle.forced).toBe(true);
  });

  it("has the estimate that the trigger was computed with", () => {
    const { a, gc, node, state } = twoViews();
    const ref = gc.refs.alloc(0);
    for (let cycles = 0; cycles < 3; cycles++) {
      gc.start();
      for (let i = 0; i < 50_000; i++) {
        const p = a.mallocTyped(node);
        gc.storePointer(p, gc.refs.get(ref));
        gc.storePointer(ref, p);
      }
      while (gc.step() !== "terminate");
      gc.gc();
    }
    const { consMark, trigger } = state.pacer;
    expect(consMark.length).toBe(5);
    expect(consMark[4]).toBe(Math.max(...consMark));
    expect(trigger).toBe(gc.heap.trigger);
    expect(trigger).toBeGreaterThan(0);
  });

  it("has the work that the background did ahead of the assists, which an assist draws on", () => {
    const { a, gc, node, state } = twoViews();
    for (let i = 0; i < 200_000; i++) gc.refs.alloc(a.mallocTyped(node));
    gc.start();
    expect([state.assist.credit, state.assist.chargedLive]).toEqual([0, gc.heap.heapLive]);
    while (gc.marker.heapScanWork === 0 && gc.idleWork());
    const credit = state.assist.credit;
    expect(credit).toBe(gc.marker.heapScanWork);
    expect(credit).toBeGreaterThan(0);
    const before = gc.heap.heapLive;
    while (state.assist.chargedLive === before && gc.marking) a.mallocNoscan(MiB / 4);
    expect(state.assist.chargedLive).toBeGreaterThan(before);
  });

  it("says which spans are left to sweep, and at which ratio", () => {
    const { a, gc, node, state, other } = twoViews();
    for (let i = 0; i < 400_000; i++) a.mallocTyped(node);
    expect(state.sweep.pending).toBe(false);
    gc.start();
    while (gc.step() !== "terminate");
    const { sweep } = state;
    expect([sweep.pending, sweep.cycle, sweep.clobberfree]).toEqual([true, 1, false]);
    expect(sweep.pagesPerByte).toBe(gc.sweeper.pagesPerByte);
    expect(sweep.pagesPerByte).toBeGreaterThan(0);
    expect([sweep.liveBasis, sweep.startLive]).toEqual([gc.heap.heapLive, gc.heap.heapLive]);
    expect((GCRecord.attach(other.mem) as GCRecord).sweepPending).toBe(true);
    gc.sweeper.sweepAll();
    expect([sweep.pending, sweep.pagesPerByte]).toEqual([false, 0]);
  });

  it("leads to all roots: globals, ref slots and objects that wait for their finalizer", () => {
    const view = twoViews();
    const { a, gc, node, state } = view;
    const globals = a.mem.reserveControl(32) as number;
    const put = (slot: number): Addr => {
      const p = a.mallocTyped(node);
      gc.storePointer(slot, p);
      return p;
    };
    const undo = gc.addGlobals(globals as Addr, (globals + 16) as Addr);
    gc.addGlobals((globals + 16) as Addr, (globals + 32) as Addr);
    const held = [put(globals), put(globals + 24)];
    const ref = gc.refs.alloc(a.mallocTyped(node));
    held.push(gc.refs.get(ref));
    const dying = a.mallocTyped(node);
    gc.finalizers.setFinalizer(dying, () => {});
    gc.gc();
    held.push(dying);
    const { refs, finalizers, roots } = partsOf(view);
    const found = (): number[] => {
      const all: number[] = [];
      roots.forEachRoot((p) => all.push(p));
      return all.sort((x, y) => x - y);
    };
    expect(found()).toEqual([...held].sort((x, y) => x - y));
    expect([refs.inuse, refs.get(ref), finalizers.queued]).toEqual([1, held[2], 1]);
    expect(roots.globalsBytes).toBe(gc.roots.globalsBytes);
    expect(state.roots.globalsScan).toBe(32 + 4088);
    undo();
    expect(found()).toEqual(held.slice(1).sort((x, y) => x - y));
    // A range that the second view adds is one of the first view's roots.
    const more = view.other.mem.reserveControl(8) as number;
    roots.addGlobals(more, more + 8);
    const p = put(more);
    const all: number[] = [];
    gc.roots.forEachRoot((q) => all.push(q));
    expect(all).toContain(p);
  });

  it("leads to the state of marking, which is the one that helpers work on", () => {
    const { gc, other } = twoViews();
    expect(new MarkState(new GCHeap(other)).mark).toBe(gc.marker.state.mark);
  });

  it("says that a fatal error has ended the collector: no thread collects from then on", () => {
    const view = twoViews();
    const { a, gc, state } = view;
    a.mallocNoscan(32 * MiB);
    const gone = a.mallocNoscan(100_000);
    gc.gc();
    gc.refs.alloc(gone);
    const guard = new ReentrancyGuard(state.cycle);
    guard.enter("gc()");
    guard.leave();
    expect(() => gc.gc()).toThrow("found bad pointer in Go heap");
    expect([state.cycle.dead, guard.shut]).toEqual([true, true]);
    let thrown: unknown;
    try {
      guard.enter("gc()");
    } catch (err) {
      thrown = err;
    }
    expect(isFatalError(thrown)).toBe(true);
    expect((thrown as Error).message).toContain("no collection is possible after a fatal error in one");
    expect((thrown as { detail: string }).detail).toBe("runtime: the first error: thrown on another thread");
    expect("cause" in (thrown as object)).toBe(false);
  });
});
