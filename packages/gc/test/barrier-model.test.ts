/**
 * The barrier's argument, checked as a model: every state that a heap of three objects can get into, under every order
 * of the program's and the collector's smallest steps. The model has only the things that the argument names:
 * colours, a root slot that is scanned when the cycle begins, a local that is never scanned, and fields.
 */
import { describe, expect, it } from "vitest";

interface Barrier {
  deletion: boolean;
  insertion: boolean;
}

const N = 3;
const NIL = N;
const WHITE = 0;
const GREY = 1;
const BLACK = 2;

/**
 * root, local, one field and one colour for each object, whether an object exists yet: small numbers, so a string key.
 */
interface State {
  root: number;
  local: number;
  field: number[];
  colour: number[];
  born: boolean[];
}

const copy = (s: State): State => ({
  root: s.root,
  local: s.local,
  field: [...s.field],
  colour: [...s.colour],
  born: [...s.born],
});

function reachable(s: State, from: number[]): Set<number> {
  const seen = new Set<number>();
  for (let p of from) {
    while (p !== NIL && !seen.has(p)) {
      seen.add(p);
      p = s.field[p]!;
    }
  }
  return seen;
}

function shade(s: State, p: number): void {
  if (p !== NIL && s.colour[p] === WHITE) s.colour[p] = GREY;
}

/** All states after one step of the program. It can only use what it reaches; its local is loaded from there. */
function* programSteps(s: State, b: Barrier): Generator<State> {
  const write = (slot: "root" | number, v: number): State => {
    const t = copy(s);
    const old = slot === "root" ? t.root : t.field[slot];
    if (b.deletion) shade(t, old);
    if (b.insertion) shade(t, v);
    if (slot === "root") t.root = v;
    else t.field[slot] = v;
    return t;
  };
  const known = reachable(s, [s.root, s.local]);
  // Loads.
  for (const p of [s.root, ...[...known].map((o) => s.field[o]), NIL]) {
    const t = copy(s);
    t.local = p;
    yield t;
  }
  // Stores of the local or nil, into the root or an object that is reached.
  for (const slot of ["root" as const, ...known]) {
    yield write(slot, s.local);
    yield write(slot, NIL);
  }
  // A new object, black.
  const fresh = s.born.indexOf(false);
  if (fresh >= 0) {
    const t = copy(s);
    t.born[fresh] = true;
    t.field[fresh] = NIL;
    t.colour[fresh] = BLACK;
    t.local = fresh;
    yield t;
  }
}

/** All states after one step of the collector: it scans one grey object. */
function* collectorSteps(s: State): Generator<State> {
  for (let o = 0; o < N; o++) {
    if (s.colour[o] !== GREY) continue;
    const t = copy(s);
    t.colour[o] = BLACK;
    shade(t, t.field[o]);
    yield t;
  }
}

/**
 * Explores all states from all heaps in which a cycle can begin. At the begin no local is live (every goroutine is at a
 * safepoint), and the root is scanned. Returns a state in which marking is done but a reachable object is white, or
 * null if there is none. Marking ends at a safepoint, where no local is live. The check is stricter: the object of the
 * local must be marked too.
 */
function counterexample(b: Barrier): State | null {
  const seen = new Set<string>();
  const todo: State[] = [];
  const add = (s: State): void => {
    const key = JSON.stringify(s);
    if (!seen.has(key)) {
      seen.add(key);
      todo.push(s);
    }
  };
  for (let root = 0; root <= N; root++) {
    for (let f = 0; f < (N + 1) ** N; f++) {
      for (const exist of [N, N - 1]) {
        const s: State = {
          root,
          local: NIL,
          field: Array.from({ length: N }, (_, o) => Math.floor(f / (N + 1) ** o) % (N + 1)),
          colour: Array(N).fill(WHITE),
          born: Array.from({ length: N }, (_, o) => o < exist),
        };
        if ([root, ...s.field].some((p) => p !== NIL && !s.born[p])) continue;
        shade(s, root);
        add(s);
      }
    }
  }
  for (let s = todo.pop(); s !== undefined; s = todo.pop()) {
    if (!s.colour.includes(GREY)) {
      for (const o of reachable(s, [s.root, s.local])) if (s.colour[o] === WHITE) return s;
      continue;
    }
    for (const t of collectorSteps(s)) add(t);
    for (const t of programSteps(s, b)) add(t);
  }
  expect(seen.size).toBeGreaterThan(1000);
  return null;
}

describe("the write barrier, in every state of a heap of three objects", () => {
  it("loses nothing with both halves", () => {
    expect(counterexample({ deletion: true, insertion: true })).toBeNull();
  });
  it("loses nothing with the deletion half alone, as roots are scanned in the stop that begins a cycle", () => {
    expect(counterexample({ deletion: true, insertion: false })).toBeNull();
  });
  it("would lose an object with the insertion half alone, as locals are never scanned", () => {
    expect(counterexample({ deletion: false, insertion: true })).not.toBeNull();
  });
  it("would lose an object without a barrier", () => {
    expect(counterexample({ deletion: false, insertion: false })).not.toBeNull();
  });
});
