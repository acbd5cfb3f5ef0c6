/**
 * A program in typed values (references, slices that share arrays, structs copied whole, strings) beside the same
 * values in JS: every path by which the typed layer writes a pointer, while collections mark and sweep.
 */
import { describe, expect, it } from "vitest";
import {
  append,
  appendSlice,
  array,
  copy,
  int,
  pointer,
  type Runtime,
  type RuntimeOptions,
  slice,
  string,
  struct,
} from "../../src/index.ts";
import { expectEmpty, MiB, make, type Random, random, seed, verify } from "./kit.ts";

const Pair = struct("Pair", {
  get a() {
    return pointer(Node);
  },
  n: int,
  get b() {
    return pointer(Node);
  },
});
const Node = struct("Node", {
  id: int,
  get next() {
    return pointer(Node);
  },
  get kids() {
    return slice(pointer(Node));
  },
  name: string,
  pairs: array(Pair, 3),
  rest: slice(Pair),
});

interface PairRef {
  a: NodeRef | null;
  n: number;
  b: NodeRef | null;
}
interface NodeRef {
  id: number;
  next: NodeRef | null;
  kids: SliceOf<NodeRef | null>;
  name: string;
  pairs: Iterable<PairRef> & { get(i: number): PairRef; set(i: number, v: Partial<PairRef>): void };
  rest: SliceOf<PairRef>;
  readonly $addr: number;
  release(): void;
}
interface SliceOf<T> extends Iterable<T> {
  readonly length: number;
  readonly cap: number;
  get(i: number): T;
  set(i: number, v: T | Partial<T>): void;
  slice(lo?: number, hi?: number, max?: number): SliceOf<T>;
  release(): void;
}

// The same in JS.
interface P {
  a: N | null;
  n: number;
  b: N | null;
}
interface S<T> {
  items: T[];
  off: number;
  len: number;
  cap: number;
}
interface N {
  readonly id: number;
  next: N | null;
  kids: S<N | null>;
  name: string;
  pairs: [P, P, P];
  rest: S<P>;
}
interface Held {
  ref: NodeRef;
  n: N;
}

const zeroPair = (): P => ({ a: null, n: 0, b: null });
const at = <T>(s: S<T>, i: number): T => s.items[s.off + i];

class TypedProgram {
  readonly #rt: Runtime;
  readonly #random: Random;
  readonly #held: Held[] = [];
  #lastId = 0;

  constructor(rt: Runtime, rnd: Random) {
    this.#rt = rt;
    this.#random = rnd;
  }

  #pick(): Held | null {
    const n = this.#held.length;
    return n === 0 || this.#random(6) === 0 ? null : this.#held[this.#random(n)];
  }

  #text(): string {
    return ["", "x", "née", "a longer text, not tiny", "y".repeat(700)][this.#random(5)];
  }

  #pair(): [Partial<PairRef>, P] {
    const [a, b, n] = [this.#pick(), this.#pick(), this.#random(1000)];
    return [
      { a: a?.ref ?? null, n, b: b?.ref ?? null },
      { a: a?.n ?? null, n, b: b?.n ?? null },
    ];
  }

  #hold(ref: NodeRef, n: N): void {
    this.#held.push({ ref, n });
    if (this.#held.length > 30) this.#held.splice(this.#random(30), 1)[0].ref.release();
  }

  #create(): void {
    const kids = Array.from({ length: this.#random(4) }, () => this.#pick());
    const rest = Array.from({ length: this.#random(3) }, () => this.#pair());
    const [next, pair] = [this.#pick(), this.#pair()];
    const name = this.#text();
    const id = ++this.#lastId;
    const ref = this.#rt.newObject(Node, {
      id,
      next: next?.ref ?? null,
      kids: kids.map((k) => k?.ref ?? null),
      name,
      pairs: [pair[0]],
      rest: rest.map((r) => r[0]),
    } as never) as unknown as NodeRef;
    this.#hold(ref, {
      id,
      next: next?.n ?? null,
      kids: { items: kids.map((k) => k?.n ?? null), off: 0, len: kids.length, cap: kids.length },
      name,
      pairs: [pair[1], zeroPair(), zeroPair()],
      rest: { items: rest.map((r) => r[1]), off: 0, len: rest.length, cap: rest.length },
    });
  }

  /** The shadow of append: in place while the capacity lasts, else the array that the heap has made. */
  #appended<T>(s: S<T>, values: T[], out: SliceOf<unknown>, zero: () => T): S<T> {
    let { items, off, cap } = s;
    if (s.len + values.length > cap) {
      cap = out.cap;
      items = Array.from({ length: cap }, (_, i) => (i < s.len ? at(s, i) : zero()));
      off = 0;
    }
    values.forEach((v, i) => {
      items[off + s.len + i] = v;
    });
    return { items, off, len: s.len + values.length, cap };
  }

  step(): void {
    const x = this.#pick();
    const y = this.#pick();
    const kind = this.#random(14);
    if (x === null || kind === 0) {
      this.#create();
      return;
    }
    switch (kind) {
      case 1:
        x.ref.next = y?.ref ?? null;
        x.n.next = y?.n ?? null;
        return;
      case 2: {
        const add = Array.from({ length: this.#random(9) }, () => this.#pick());
        const from = x.ref.kids;
        const out = append(
          from as never,
          ...(add.map((h) => h?.ref ?? null) as never[]),
        ) as unknown as SliceOf<NodeRef | null>;
        const s = this.#appended(
          x.n.kids,
          add.map((h) => h?.n ?? null),
          out,
          () => null,
        );
        const to = y ?? x;
        to.ref.kids = out;
        to.n.kids = s;
        from.release();
        out.release();
        return;
      }
      case 3: {
        const from = x.ref.kids;
        const lo = this.#random(from.length + 1);
        const hi = lo + this.#random(from.cap - lo + 1);
        const part = from.slice(lo, hi);
        x.ref.kids = part;
        const s = x.n.kids;
        x.n.kids = { items: s.items, off: s.off + lo, len: hi - lo, cap: s.cap - lo };
        from.release();
        part.release();
        return;
      }
      case 4: {
        const s = x.ref.kids;
        if (s.length > 0) {
          const i = this.#random(s.length);
          s.set(i, y?.ref ?? null);
          x.n.kids.items[x.n.kids.off + i] = y?.n ?? null;
        }
        s.release();
        return;
      }
      case 5: {
        if (y === null) return;
        const [to, from] = [x.ref.kids, y.ref.kids];
        const n = copy(to as never, from as never);
        const values = Array.from({ length: n }, (_, i) => at(y.n.kids, i));
        values.forEach((v, i) => {
          x.n.kids.items[x.n.kids.off + i] = v;
        });
        to.release();
        from.release();
        return;
      }
      case 6: {
        if (y === null || x.n.kids.len + y.n.kids.len > 3000) return;
        const [to, from] = [x.ref.kids, y.ref.kids];
        const values = Array.from({ length: from.length }, (_, i) => at(y.n.kids, i));
        const out = appendSlice(to as never, from as never) as unknown as SliceOf<NodeRef | null>;
        x.n.kids = this.#appended(x.n.kids, values, out, () => null);
        x.ref.kids = out;
        for (const s of [to, from, out]) s.release();
        return;
      }
      case 7: {
        if (y === null) return;
        const [i, j] = [this.#random(3), this.#random(3)];
        x.ref.pairs.set(i, y.ref.pairs.get(j));
        x.n.pairs[i] = { ...y.n.pairs[j] };
        return;
      }
      case 8:
        if (y === null) return;
        x.ref.pairs = y.ref.pairs;
        x.n.pairs = y.n.pairs.map((p) => ({ ...p })) as [P, P, P];
        return;
      case 9: {
        const s = x.ref.rest;
        const [value, shadow] = this.#pair();
        const out = append(s as never, value as never) as unknown as SliceOf<PairRef>;
        x.n.rest = this.#appended(x.n.rest, [shadow], out, zeroPair);
        x.ref.rest = out;
        s.release();
        out.release();
        return;
      }
      case 10: {
        // Overlapping, by one upwards or downwards.
        const s = x.ref.rest;
        const m = x.n.rest;
        if (s.length > 1) {
          const up = this.#random(2);
          const tail = s.slice(1);
          const n = up ? copy(tail as never, s as never) : copy(s as never, tail as never);
          const values = Array.from({ length: n }, (_, i) => ({ ...at(m, up ? i : i + 1) }));
          values.forEach((v, i) => {
            m.items[m.off + i + up] = v;
          });
          tail.release();
        }
        s.release();
        return;
      }
      case 11:
        x.ref.name = x.n.name = this.#text();
        return;
      case 12: {
        const next = x.ref.next;
        if (next !== null) this.#hold(next, x.n.next!);
        return;
      }
      default:
        this.#held.splice(this.#held.indexOf(x), 1);
        x.ref.release();
    }
  }

  /** Compares all held values, and everything that they reach. */
  verify(): void {
    const seen = new Map<N, number>();
    const todo: [NodeRef, N][] = this.#held.map(({ ref, n }) => [ref, n]);
    const own: NodeRef[] = [];
    const follow = (ref: NodeRef | null, n: N | null): void => {
      if ((ref === null) !== (n === null)) throw new Error(`${ref?.id ?? "nil"} is not ${n?.id ?? "nil"}`);
      if (ref === null || n === null) return;
      own.push(ref);
      todo.push([ref, n]);
    };
    const followPair = (ref: PairRef, p: P): void => {
      if (ref.n !== p.n) throw new Error(`pair ${ref.n} is not ${p.n}`);
      follow(ref.a, p.a);
      follow(ref.b, p.b);
    };
    for (let e = todo.pop(); e !== undefined; e = todo.pop()) {
      const [ref, n] = e;
      const known = seen.get(n);
      if (known !== undefined ? known !== ref.$addr : ref.id !== n.id)
        throw new Error(`node ${n.id} is ${ref.id}`);
      if (known !== undefined) continue;
      seen.set(n, ref.$addr);
      if (ref.name !== n.name) throw new Error(`name of ${n.id}: ${ref.name}`);
      follow(ref.next, n.next);
      for (let i = 0; i < 3; i++) followPair(ref.pairs.get(i), n.pairs[i]);
      const { kids, rest } = ref;
      if (kids.length !== n.kids.len || kids.cap !== n.kids.cap || rest.length !== n.rest.len) {
        throw new Error(`slices of ${n.id}: ${kids.length} of ${kids.cap}, ${rest.length}`);
      }
      for (let i = 0; i < n.kids.len; i++) follow(kids.get(i), at(n.kids, i));
      for (let i = 0; i < n.rest.len; i++) followPair(rest.get(i), at(n.rest, i));
      kids.release();
      rest.release();
    }
    for (const ref of own) ref.release();
  }

  drop(): void {
    for (const { ref } of this.#held.splice(0)) ref.release();
  }
}

async function soak(salt: number, steps: number, options: RuntimeOptions = {}, heapAt = 0): Promise<void> {
  const rt = make({ ...options, ...(heapAt === 0 ? {} : { maxMemory: 4096 * MiB }) });
  if (heapAt !== 0) rt.memory.sysReserve(heapAt - (rt.memory.size - rt.memory.unreserved), 8);
  const rnd = random(seed + salt);
  const p = new TypedProgram(rt, rnd);
  const stress = rt.godebug.gcstress !== 0;
  await rt.main(function* () {
    for (let i = 0; i < steps; i++) {
      p.step();
      if (!stress && rnd(8) === 0) rt.collector.step(1 + rnd(64));
      if (rnd(50) === 0 && !rt.collector.marking) rt.collector.requestGC();
      if (rnd(400) === 0) p.verify();
      if (rnd(200) === 0) yield* rt.gosched();
      if (rnd(300) === 0) {
        rt.gc();
        p.verify();
      }
    }
  });
  p.verify();
  verify(rt);
  p.drop();
  await expectEmpty(rt);
}

describe(`typed values while collections run (seed ${seed}; GORT_SEED repeats it)`, () => {
  it("are what the program has written", async () => {
    for (let k = 0; k < 2; k++) await soak(10_000 + k, 4000);
  });
  it("are so with gcstress=1", async () => {
    await soak(10_100, 600, { godebug: "clobberfree=1,gccheckmark=1,gcstress=1,memprofilerate=0" });
  });
  it("are so above 2 GiB", async () => {
    await soak(10_200, 2000, {}, 2048 * MiB);
  });
});

const moves: Record<string, (to: NodeRef, from: NodeRef, empty: NodeRef) => void> = {
  "by copies of arrays": (to, from, empty) => {
    to.pairs = from.pairs;
    from.pairs = empty.pairs;
  },
  "by copies of structs": (to, from, empty) => {
    to.pairs.set(1, from.pairs.get(0));
    from.pairs.set(0, empty.pairs.get(0));
  },
  "by copies of slices' elements": (to, from, empty) => {
    const [t, f, e] = [to.rest, from.rest, empty.rest];
    copy(t as never, f as never);
    copy(f as never, e as never);
    for (const s of [t, f, e]) s.release();
  },
};

describe("pointers that move behind the marking's back", () => {
  for (const [how, move] of Object.entries(moves)) {
    it(`${how} lose nothing, wherever marking stands`, async () => {
      const rt = make({ gogc: "off" });
      const rnd = random(seed);
      const node = (target?: unknown): NodeRef => {
        const pair = { a: target, n: 1 };
        // The only pointer to the target.
        const inSlice = how.includes("slice");
        const init = {
          pairs: target && !inSlice ? [pair] : [],
          rest: [target && inSlice ? pair : {}, {}, {}],
        };
        return rt.newObject(Node, init as never);
      };
      for (let round = 0; round < 25; round++) {
        const n = 150;
        const targets = Array.from(
          { length: n },
          (_, i) => rt.newObject(Node, { id: i + 1 }) as unknown as NodeRef,
        );
        // Sometimes the one half is marked first, sometimes the other.
        const first = rnd(2);
        const nodes = [...targets, ...targets].map((t, i) => node(i < n === (first === 0) ? t : undefined));
        const from = nodes.slice(first * n, first * n + n);
        const to = nodes.slice(n - first * n, 2 * n - first * n);
        const empty = node();
        for (const t of targets) t.release();
        rt.collector.requestGC();
        while (rt.collector.step() !== "start");
        for (let k = rnd(16); k > 0 && rt.collector.step(1) !== "terminate"; k--);
        for (let i = 0; i < n; i++) move(to[i], from[i], empty);
        rt.gc();
        const ids = new Set<number>();
        for (const holder of nodes) {
          const pairs = [0, 1, 2].map((i) => holder.pairs.get(i));
          const rest = holder.rest;
          for (const pair of [...pairs, ...rest]) {
            const a = pair.a;
            if (a !== null) ids.add(a.id);
            a?.release();
          }
          rest.release();
        }
        expect([...ids].sort((a, b) => a - b)).toEqual(targets.map((_, i) => i + 1));
        for (const r of [...nodes, empty]) r.release();
      }
      await expectEmpty(rt);
    });
  }
});
