import { describe, expect, it } from "vitest";
import {
  CLASS_ROW,
  CLASS_ROW_SHIFT,
  GCWORK_AT,
  MARK_AT,
  MarkState,
  WORK_FREE,
  WORK_LOST,
  WORK_OWNED,
  WORK_PARKED,
  WORK_RUNNING,
  WORKBUF_BYTES,
  WORKBUF_HEADER,
} from "../src/mark-state.ts";
import { WorkBufs } from "../src/mgcwork.ts";
import { MiB, rig } from "./kit.ts";

/** A heap with objects of about 4 MiB, and its mark state. */
function setUp(maxMemory = 64 * MiB) {
  const r = rig({ maxMemory });
  const { state } = r.gc.marker;
  const field = (w: number, f: number) => r.u32[(w + f) >>> 2];
  const set = (w: number, f: number, v: number) => {
    r.u32[(w + f) >>> 2] = v;
  };
  const works = () => {
    const seen: number[] = [];
    state.forEachWork((w) => seen.push(w));
    return seen;
  };
  return { ...r, state, field, set, works };
}

describe("the state of marking", () => {
  it("is one a heap, however many views of it are made", () => {
    const { gc, state } = setUp();
    const again = new MarkState(gc.heap);
    const { mark, scanRows, pageState, classTable, ringMask } = again;
    expect({ mark, scanRows, pageState, classTable, ringMask }).toEqual({
      mark: state.mark,
      scanRows: state.scanRows,
      pageState: state.pageState,
      classTable: state.classTable,
      ringMask: state.ringMask,
    });
    expect(setUp().state.mark).toBeGreaterThan(0);
  });

  it.each([
    [64, 8192],
    [65, 16384],
    [128, 16384],
    [129, 32768],
  ])("has rings with a slot for every page of %i MiB, and tables that do not overlap", (mib, slots) => {
    const { state, field, works } = setUp(mib * MiB);
    expect(state.ringMask).toBe(slots - 1);
    const pages = mib * 128;
    const ring = field(works()[0], GCWORK_AT.ring);
    const tables = [
      [state.scanRows, pages * 64],
      [state.pageState, pages * 4],
      [state.classTable, 256 * 16],
      [ring, slots * 4],
      [field(works()[0], GCWORK_AT.base), 2 * WORKBUF_BYTES],
    ].sort(([x], [y]) => x - y) as [number, number][];
    tables.forEach(([at, bytes], i) => {
      expect(at % 64).toBe(0);
      if (i + 1 < tables.length) expect(tables[i + 1][0]).toBeGreaterThanOrEqual(at + bytes);
    });
  });

  it("has the classes' constants in memory, for every span class", () => {
    const { state, field, gc } = setUp();
    const { magic, size, nwords } = gc.heap.classes;
    const row = (sc: number, f: number) => field(state.classTable + (sc << CLASS_ROW_SHIFT), f);
    const all = Array.from({ length: 256 }, (_, sc) => sc);
    expect(all.map((sc) => row(sc, CLASS_ROW.magic))).toEqual([...magic]);
    expect(all.map((sc) => row(sc, CLASS_ROW.size))).toEqual([...size]);
    expect(all.map((sc) => row(sc, CLASS_ROW.nwords))).toEqual([...nwords]);
  });

  it("counts the tables of each heap page once, 72 bytes, when the first cycle after its coming begins", () => {
    const { state, a, gc } = setUp();
    const counted = () => {
      const before = a.mem.stats.gcSys;
      state.reset();
      return a.mem.stats.gcSys - before;
    };
    a.mallocNoscan(8192);
    const first = gc.heap.heapPages();
    expect([first > 0, counted(), counted()]).toEqual([true, 72 * first, 0]);
    while (gc.heap.heapPages() === first) a.mallocNoscan(1 << 20);
    expect([counted(), counted()]).toEqual([72 * (gc.heap.heapPages() - first), 0]);
  });

  it("numbers cycles by fours, and ends the program before the number could be that of a page state", () => {
    const { state } = setUp();
    const cycle = state.get(MARK_AT.cycle);
    state.reset();
    expect(state.get(MARK_AT.cycle)).toBe(cycle + 4);
    state.dropWork();
    expect(state.get(MARK_AT.cycle)).toBe(cycle + 8);
    state.set(MARK_AT.cycle, 2 ** 30 - 8);
    state.reset();
    expect(state.get(MARK_AT.cycle)).toBe(2 ** 30 - 4);
    expect(() => state.reset()).toThrow("gc: cycle counter overflow");
  });

  it("begins a cycle without an overflow, and with the bytes that the heap has then", () => {
    const { state, a, gc } = setUp();
    a.mallocNoscan(1 << 20);
    a.flushAll();
    state.set(MARK_AT.overflow, 3);
    state.reset();
    expect([state.get(MARK_AT.overflow), state.get(MARK_AT.liveAtStart)]).toEqual([0, gc.heap.heapLive]);
    expect(gc.heap.heapLive).toBeGreaterThan(0);
  });
});

describe("a thread's part of marking", () => {
  it("is made anew with a number of its own, or is one that was given back", () => {
    const { state, field, set, works } = setUp();
    const [own] = works() as [number];
    expect([field(own, GCWORK_AT.id), field(own, GCWORK_AT.status)]).toEqual([0, WORK_OWNED]);
    const first = state.newWork(WORK_PARKED);
    const second = state.newWork(WORK_RUNNING);
    expect(works()).toEqual([second, first, own]);
    expect([first, second].map((w) => [field(w, GCWORK_AT.id), field(w, GCWORK_AT.status)])).toEqual([
      [1, WORK_PARKED],
      [2, WORK_RUNNING],
    ]);
    expect(new Set([own, first, second].map((w) => field(w, GCWORK_AT.ring))).size).toBe(3);
    expect(new Set([own, first, second].map((w) => field(w, GCWORK_AT.base))).size).toBe(3);
    set(first, GCWORK_AT.status, WORK_FREE);
    expect(state.newWork(WORK_RUNNING)).toBe(first);
    expect([field(first, GCWORK_AT.id), field(first, GCWORK_AT.status)]).toEqual([1, WORK_RUNNING]);
    // One that was lost is not given out before the next cycle.
    set(second, GCWORK_AT.status, WORK_LOST);
    expect(state.newWork(WORK_PARKED)).not.toBe(second);
    expect(works()).toHaveLength(4);
    state.reset();
    expect([first, second].map((w) => field(w, GCWORK_AT.status))).toEqual([WORK_RUNNING, WORK_FREE]);
    expect(state.newWork(WORK_PARKED)).toBe(second);
    expect(state.get(MARK_AT.nworkers)).toBe(4);
  });

  it("is refused where there is no memory for it", () => {
    const { state, a } = setUp();
    const { persistentAlloc, sysReserve } = a.mem;
    a.mem.persistentAlloc = () => 0 as never;
    expect(() => state.newWork(WORK_PARKED)).toThrow("out of memory");
    a.mem.persistentAlloc = persistentAlloc;
    a.mem.sysReserve = () => 0 as never;
    expect(() => state.newWork(WORK_PARKED)).toThrow("out of memory");
    a.mem.sysReserve = sysReserve;
  });

  it("is empty when a cycle begins: no page, no address, no count, and its own buffers", () => {
    const { state, field, set, u32 } = setUp();
    const w = state.newWork(WORK_PARKED);
    const keep = new Set([
      GCWORK_AT.next,
      GCWORK_AT.id,
      GCWORK_AT.status,
      GCWORK_AT.phase,
      GCWORK_AT.ring,
      GCWORK_AT.base,
    ]);
    const buffers = () => [GCWORK_AT.buf, GCWORK_AT.sp, GCWORK_AT.spare].map((f) => field(w, f));
    const empty = buffers();
    const base = field(w, GCWORK_AT.base);
    expect(empty).toEqual([base, base + WORKBUF_HEADER, base + WORKBUF_BYTES]);
    const kept = [...keep].map((f) => field(w, f));
    const perClass = (GCWORK_AT.classStacked - GCWORK_AT.classVisits) / 4;
    const length: Record<string, number> = {
      own: 16,
      heapScanWork: 2,
      classVisits: perClass,
      classStacked: perClass,
    };
    const words = Object.entries(GCWORK_AT)
      .filter(([name, f]) => !keep.has(f) && !name.startsWith("pad"))
      .flatMap(([name, f]) => Array.from({ length: length[name] ?? 1 }, (_, k) => f + 4 * k));
    for (const f of words) set(w, f, 1234);
    u32[(base + WORKBUF_BYTES + 4) >>> 2] = 5;
    state.resetWork(w);
    expect(buffers()).toEqual(empty);
    expect(u32[(base + WORKBUF_BYTES + 4) >>> 2]).toBe(0);
    expect([...keep].map((f) => field(w, f))).toEqual(kept);
    const own = [GCWORK_AT.buf, GCWORK_AT.sp, GCWORK_AT.spare] as number[];
    expect(words.filter((f) => !own.includes(f) && field(w, f) !== 0)).toEqual([]);
  });

  it("is idle without a page, an address in hand and one in its spare buffer", () => {
    const { state, field, set, u32 } = setUp();
    const w = state.newWork(WORK_PARKED);
    const spare = field(w, GCWORK_AT.spare);
    expect(state.isIdle(w)).toBe(true);
    set(w, GCWORK_AT.qtail, 1);
    expect(state.isIdle(w)).toBe(false);
    set(w, GCWORK_AT.qhead, 1);
    expect(state.isIdle(w)).toBe(true);
    set(w, GCWORK_AT.sp, field(w, GCWORK_AT.sp) + 4);
    expect(state.isIdle(w)).toBe(false);
    set(w, GCWORK_AT.sp, field(w, GCWORK_AT.sp) - 4);
    u32[(spare + 4) >>> 2] = 1;
    expect(state.isIdle(w)).toBe(false);
    u32[(spare + 4) >>> 2] = 0;
    expect(state.isIdle(w)).toBe(true);
  });

  it("forgets waiting work, but not its counts, when work is dropped", () => {
    const { state, field, set, u32, gc } = setUp();
    const w = state.newWork(WORK_PARKED);
    const bufs = new WorkBufs(state);
    // Eight addresses in hand, of which four are handed over; then the lists hold one full buffer and some empty ones.
    for (let i = 0; i < 8; i++) u32[(field(w, GCWORK_AT.sp) >>> 2) + i] = 8 * i;
    set(w, GCWORK_AT.sp, field(w, GCWORK_AT.sp) + 32);
    expect(bufs.share(w)).toBe(true);
    set(w, GCWORK_AT.qhead, 3);
    set(w, GCWORK_AT.qtail, 7);
    set(w, GCWORK_AT.bytesMarked, 99);
    expect([state.isIdle(w), bufs.noneFull]).toEqual([false, false]);
    state.dropWork();
    expect([state.isIdle(w), bufs.noneFull, field(w, GCWORK_AT.bytesMarked)]).toEqual([true, true, 99]);
    expect([field(w, GCWORK_AT.qhead), field(w, GCWORK_AT.qtail)]).toEqual([0, 0]);
    expect([MARK_AT.full, MARK_AT.empty].map((list) => field(state.mark, list))).toEqual([0, 0]);
    gc.marker.releaseWorkbufs();
  });
});
