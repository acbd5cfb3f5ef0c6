import { describe, expect, it } from "vitest";

/**
 * A model of mark-parallel.ts and mark-phase.ts: a heap of a few pages, two threads, and every interleaving of their
 * reads, writes and CASes. Memory has one order, as atomics have. A fault can be built in, to see that the model would
 * show it.
 */
interface Heap {
  /** Objects: which page each is on, and what it refers to. */
  page: number[];
  children: number[][];
  roots: number[];
}

type Fault =
  | "none"
  | "no recheck"
  | "recheck leaves a queued page alone"
  | "no scan check"
  | "take before resume"
  | "skip being prepared";

const [STALE, IDLE, ONE, SEVERAL, PREPARED] = [0, 1, 2, 3, 4];

interface Thread {
  at: string;
  /** The page in hand, and the object that queued it. */
  page: number;
  obj: number;
  /** Objects that the thread has found and has to scan; pointers of the object in hand. */
  found: number[];
  pointers: number[];
  /** Where to go on when all pointers are done. */
  after: string;
  seen: number;
  /** Objects of the page in hand that are to be marked at the end. */
  noted: number[];
  /** Number of the thread whose ring this one looks at. */
  ring: number;
}

interface State {
  marked: number[];
  scanned: number[];
  /** Scan bits may be stale until a page is first seen: 1 for every object at first. */
  row: number[];
  pages: number[];
  rings: { head: number; entries: [page: number, obj: number][] }[];
  nwait: number;
  over: boolean;
  threads: Thread[];
}

function start(heap: Heap, nthreads: number): State {
  const n = heap.page.length;
  const state: State = {
    marked: new Array(n).fill(0),
    scanned: new Array(n).fill(0),
    row: new Array(n).fill(1),
    pages: new Array(Math.max(...heap.page) + 1).fill(STALE),
    rings: Array.from({ length: nthreads }, () => ({ head: 0, entries: [] })),
    nwait: 0,
    over: false,
    threads: Array.from({ length: nthreads }, () => ({
      at: "look",
      page: 0,
      obj: 0,
      found: [],
      pointers: [],
      noted: [],
      after: "",
      seen: 0,
      ring: 0,
    })),
  };
  // The roots are grey before the other threads join.
  for (const o of heap.roots) {
    const p = heap.page[o];
    state.marked[o] = 1;
    if (state.pages[p] === STALE) {
      heap.page.forEach((q, k) => {
        if (q === p) state.row[k] = 0;
      });
      state.rings[0].entries.push([p, o]);
      state.pages[p] = ONE;
    } else state.pages[p] = SEVERAL;
  }
  return state;
}

/** One step of thread k: one access to what is shared. */
function step(s: State, k: number, heap: Heap, fault: Fault, notes: boolean): void {
  const t = s.threads[k];
  const ringOf = (i: number) => s.rings[i];
  const pending = (p: number): number[] =>
    heap.page.flatMap((q, o) => (q === p && s.marked[o] === 1 && s.row[o] === 0 ? [o] : []));
  const scan = (o: number, after: string): void => {
    s.scanned[o]++;
    t.pointers = [...heap.children[o]];
    t.at = "shade";
    t.after = after;
  };
  const nothing = (i: number): boolean => ringOf(i).head === ringOf(i).entries.length;
  switch (t.at) {
    case "look":
      // Its own ring, then the others'.
      t.ring = k;
      t.at = "head";
      return;
    case "head":
      if (nothing(t.ring)) {
        t.ring = (t.ring + 1) % s.rings.length;
        t.at = t.ring === k ? "wait" : "head";
        return;
      }
      t.seen = ringOf(t.ring).head;
      t.at = "take";
      return;
    case "take": {
      const ring = ringOf(t.ring);
      if (ring.head !== t.seen) {
        t.at = "head";
        return;
      }
      [t.page, t.obj] = ring.entries[ring.head++]!;
      t.at = fault === "take before resume" && t.after === "resume" ? "late resume" : "visit";
      t.after = "";
      return;
    }
    case "wait":
      s.nwait++;
      if (s.nwait === s.threads.length) s.over = true;
      t.ring = k;
      t.at = "waiting";
      return;
    case "waiting":
      if (s.over) {
        t.at = "done";
        return;
      }
      t.ring = (t.ring + 1) % s.rings.length;
      if (!nothing(t.ring)) {
        t.at = fault === "take before resume" ? "head" : "resume";
        if (fault === "take before resume") t.after = "resume";
      }
      return;
    case "resume":
      if (s.over) t.at = "done";
      else {
        s.nwait--;
        t.at = "look";
      }
      return;
    case "late resume":
      s.nwait--;
      t.at = "visit";
      return;
    case "visit":
      if (s.pages[t.page] !== ONE) t.at = "find";
      else if (s.row[t.obj] === 1 && fault !== "no scan check") t.at = "leave one";
      else {
        s.row[t.obj] = 1;
        scan(t.obj, "leave one");
      }
      return;
    case "leave one":
      if (s.pages[t.page] === ONE) {
        s.pages[t.page] = IDLE;
        t.at = "look";
      } else t.at = "find";
      return;
    case "find":
      t.found = [...new Set([...pending(t.page), ...t.noted.filter((o) => s.row[o] === 0)])];
      for (const o of t.found) s.row[o] = 1;
      t.at = t.found.length > 0 ? "next" : t.noted.length > 0 ? "mark noted" : "leave";
      return;
    case "mark noted":
      s.marked[t.noted.pop()!] = 1;
      if (t.noted.length === 0) t.at = "leave";
      return;
    case "next": {
      const o = t.found.pop();
      if (o === undefined) t.at = "find";
      else scan(o, "next");
      return;
    }
    case "leave":
      s.pages[t.page] = IDLE;
      t.at = fault === "no recheck" ? "look" : "recheck";
      return;
    case "recheck":
      t.at = pending(t.page).length > 0 ? "take back" : "look";
      return;
    case "take back": {
      // One exchange: a page that is queued for one object is now queued for several.
      const old = s.pages[t.page];
      if (old === IDLE || fault !== "recheck leaves a queued page alone") s.pages[t.page] = SEVERAL;
      t.at = old === IDLE ? "find" : "look";
      return;
    }
    case "shade": {
      const o = t.pointers[0];
      if (o === undefined) {
        t.at = t.after;
        t.after = "";
        return;
      }
      if (notes && t.after === "next" && heap.page[o] === t.page) t.noted.push(t.pointers.shift()!);
      else if (s.marked[o] === 1) t.pointers.shift();
      else {
        s.marked[o] = 1;
        t.at = "state";
      }
      return;
    }
    case "state": {
      t.seen = s.pages[heap.page[t.pointers[0]]]!;
      const left = t.seen === SEVERAL || (fault === "skip being prepared" && t.seen === PREPARED);
      t.at = left ? "queued" : "change";
      return;
    }
    case "change": {
      const p = heap.page[t.pointers[0]];
      if (s.pages[p] !== t.seen) {
        t.at = "state";
        return;
      }
      if (t.seen === IDLE) {
        s.pages[p] = ONE;
        t.at = "enqueue";
      } else if (t.seen === STALE) {
        s.pages[p] = PREPARED;
        t.at = "clear";
      } else {
        s.pages[p] = SEVERAL;
        t.at = "queued";
      }
      return;
    }
    case "clear": {
      const p = heap.page[t.pointers[0]];
      heap.page.forEach((q, o) => {
        if (q === p) s.row[o] = 0;
      });
      t.at = "prepared";
      return;
    }
    case "prepared": {
      const p = heap.page[t.pointers[0]];
      if (s.pages[p] === PREPARED) s.pages[p] = ONE;
      t.at = "enqueue";
      return;
    }
    case "enqueue": {
      const o = t.pointers[0];
      ringOf(k).entries.push([heap.page[o], o]);
      t.at = "queued";
      return;
    }
    case "queued":
      t.pointers.shift();
      t.at = "shade";
      return;
    default:
      throw new Error(`no step from ${t.at}`);
  }
}

/** Walks through every interleaving; gives the number of states, or what is wrong in one of them. */
function explore(heap: Heap, fault: Fault, notes: boolean): { states: number; wrong: string | null } {
  const reachable = new Set<number>();
  const visit = (o: number): void => {
    if (reachable.has(o)) return;
    reachable.add(o);
    heap.children[o].forEach(visit);
  };
  heap.roots.forEach(visit);
  const seen = new Set<string>();
  const todo = [JSON.stringify(start(heap, 2))];
  for (let key = todo.pop(); key !== undefined; key = todo.pop()) {
    if (seen.has(key)) continue;
    seen.add(key);
    const state = JSON.parse(key) as State;
    if (state.over) {
      for (const o of reachable) {
        if (state.scanned[o] !== 1)
          return { states: seen.size, wrong: `object ${o} scanned ${state.scanned[o]} times` };
      }
    }
    let moves = 0;
    for (let k = 0; k < state.threads.length; k++) {
      if (state.threads[k].at === "done") continue;
      moves++;
      const next = JSON.parse(key) as State;
      step(next, k, heap, fault, notes);
      todo.push(JSON.stringify(next));
    }
    if (moves === 0 && !state.over)
      return { states: seen.size, wrong: "all are done, but the phase is not over" };
  }
  return { states: seen.size, wrong: null };
}

const heaps: Record<string, Heap> = {
  "a ring over two pages": { page: [0, 1, 0, 1], children: [[1], [2], [3], [0]], roots: [0] },
  "a fan": { page: [0, 1, 1, 0], children: [[1, 2, 3], [3], [], []], roots: [0] },
  "two roots that meet": { page: [0, 0, 1, 1], children: [[2], [2, 3], [], [0]], roots: [0, 1] },
  // A thread on each of the first two pages: each finds an object on the third, and both objects lead to its last one.
  "a chain on one page": { page: [0, 1, 2, 2, 2], children: [[2], [3], [4], [4], []], roots: [0, 1] },
  // One thread visits the first page and leaves it. The other marks an object there before that, and one after it.
  "a page left between two marks": {
    page: [0, 0, 1, 0, 0],
    children: [[], [], [3, 4], [], []],
    roots: [0, 1, 2],
  },
  // A thread on each of the first two pages: both find objects on the third, and one leads back to the first page.
  "two threads that meet": { page: [0, 1, 2, 2, 2], children: [[2], [3, 4], [], [0], []], roots: [0, 1] },
};

describe("the protocol of several marking threads", () => {
  it.each(Object.entries(heaps))("scans every object exactly once, and ends: %s", (_, heap) => {
    for (const notes of [false, true]) {
      const { states, wrong } = explore(heap, "none", notes);
      expect(wrong).toBeNull();
      expect(states).toBeGreaterThan(300);
    }
  });

  it.each([
    "no recheck",
    "recheck leaves a queued page alone",
    "no scan check",
    "take before resume",
    "skip being prepared",
  ] as Fault[])("would not with a fault: %s", (fault) => {
    const wrong = Object.values(heaps).map((heap) => explore(heap, fault, false).wrong);
    expect(wrong.filter((w) => w !== null)).not.toEqual([]);
  });
});
