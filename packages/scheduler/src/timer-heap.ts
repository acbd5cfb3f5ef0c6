/** The pending timers: a 4-ary heap, ordered by time and, at equal times, by age. */

/** An entry of the heap. */
export class RuntimeTimer {
  when = 0;
  seq = 0;
  /** Position in the heap, or -1. */
  index = -1;
  /** A timer of the runtime: it does not keep the process alive, and does not count as a hope in a deadlock. */
  system = false;
  /** Called at `when`, after the timer has left the heap. */
  readonly f: (now: number) => void;

  constructor(f: (now: number) => void) {
    this.f = f;
  }
}

function before(a: RuntimeTimer, b: RuntimeTimer): boolean {
  return a.when < b.when || (a.when === b.when && a.seq < b.seq);
}

export class TimerHeap {
  private readonly heap: RuntimeTimer[] = [];
  private seq = 0;
  /** Time of the earliest timer, or Infinity. */
  nextWhen = Infinity;
  /** Timers of the user, that is without `system`. */
  nuser = 0;

  get size(): number {
    return this.heap.length;
  }

  add(t: RuntimeTimer, when: number): void {
    t.when = when;
    t.seq = this.seq++;
    const i = this.heap.length;
    this.heap.push(t);
    this.siftUp(i, t);
    if (!t.system) this.nuser++;
    this.nextWhen = this.heap[0].when;
  }

  remove(t: RuntimeTimer): void {
    const i = t.index;
    t.index = -1;
    const last = this.heap.pop()!;
    if (last !== t) {
      this.siftUp(i, last);
      this.siftDown(last.index, last);
    }
    if (!t.system) this.nuser--;
    this.nextWhen = this.heap.length === 0 ? Infinity : this.heap[0].when;
  }

  /** Fires all timers due at `now`, also those that fired timers add. */
  run(now: number): void {
    while (this.nextWhen <= now && this.heap.length > 0) {
      const t = this.heap[0];
      this.remove(t);
      t.f(now);
    }
  }

  private siftUp(i: number, t: RuntimeTimer): void {
    const h = this.heap;
    while (i > 0) {
      const parent = (i - 1) >>> 2;
      if (!before(t, h[parent])) break;
      h[i] = h[parent];
      h[i].index = i;
      i = parent;
    }
    h[i] = t;
    t.index = i;
  }

  private siftDown(i: number, t: RuntimeTimer): void {
    const h = this.heap;
    const n = h.length;
    for (;;) {
      const first = i * 4 + 1;
      if (first >= n) break;
      let least = first;
      for (let c = first + 1; c < Math.min(first + 4, n); c++) if (before(h[c], h[least])) least = c;
      if (!before(h[least], t)) break;
      h[i] = h[least];
      h[i].index = i;
      i = least;
    }
    h[i] = t;
    t.index = i;
  }
}
