import { describe, expect, it } from "vitest";

/**
 * Models of the two protocols by which several threads agree that something has ended: marking (mark-share.ts,
 * gc-cycle.ts), and a sweep (mgcsweep.ts, the allocator's mcentral.ts). Each walks through every interleaving of single
 * reads and writes; memory has one order, as atomics have. Faults can be built in, to see that the model would show
 * them.
 */
interface Model<S> {
  start: S;
  /** The states after each move that a thread can make, by thread. Empty: the thread has ended or waits. */
  moves(state: S): S[];
  /** What is wrong with the state; null if nothing is. */
  wrong(state: S): string | null;
  /** Whether the state may be the last one. */
  ended(state: S): boolean;
}

function explore<S>(model: Model<S>): { states: number; wrong: string | null } {
  const seen = new Set<string>();
  const todo = [JSON.stringify(model.start)];
  for (let key = todo.pop(); key !== undefined; key = todo.pop()) {
    if (seen.has(key)) continue;
    seen.add(key);
    const state = JSON.parse(key) as S;
    const wrong = model.wrong(state);
    if (wrong !== null) return { states: seen.size, wrong };
    const next = model.moves(state);
    if (next.length === 0 && !model.ended(state)) return { states: seen.size, wrong: "no thread can go on" };
    for (const s of next) todo.push(JSON.stringify(s));
  }
  return { states: seen.size, wrong: null };
}

/** A copy of the state that f changes. */
function after<S>(state: S, f: (s: S) => void): S {
  const s = JSON.parse(JSON.stringify(state)) as S;
  f(s);
  return s;
}

// --- the end of marking

/**
 * Objects 0 to 3: a root leads to 0, its field to 1, 1 to 2. Object 3 is another root's. The mutator moves the pointer
 * to 1 from the field to its stack, which was scanned when the cycle began, and marks in slices.
 */
interface Marking {
  field: number;
  stack: number;
  marked: number[];
  scanned: number[];
  /** The list that all threads share, and what each thread has in hand. */
  list: number[];
  hands: number[][];
  /** The mutator: what it does next, and whether it is in a slice. */
  at: string;
  active: boolean;
  old: number;
  /** The object that its slice has taken and not yet scanned. */
  taken: number;
  driver: string;
  stopped: boolean;
  tries: number;
}

type MarkFault = "none" | "no stop" | "no adoption" | "no barrier" | "a stop in the middle of a slice";

function marking(fault: MarkFault): Model<Marking> {
  const children = (s: Marking, o: number): number[] =>
    o === 0 ? (s.field < 0 ? [] : [s.field]) : o === 1 ? [2] : [];
  const shade = (s: Marking, o: number, hand: number): void => {
    if (o < 0 || s.marked[o] === 1) return;
    s.marked[o] = 1;
    s.hands[hand].push(o);
  };
  /** Takes an object in hand, else one of the list, and scans it. */
  const scan = (s: Marking, hand: number): void => {
    const o = s.hands[hand].pop() ?? s.list.pop();
    if (o === undefined) return;
    s.scanned[o] = 1;
    for (const c of children(s, o)) shade(s, c, hand);
  };
  const share = (s: Marking, hand: number): void => {
    s.list.push(...s.hands[hand].splice(0));
  };
  const mutator = (s: Marking): Marking[] => {
    // It stops at safepoints only: at any place but between the barrier's load and the store.
    if (s.stopped || s.driver === "over") return [];
    const go = (f: (n: Marking) => void, at: string): Marking =>
      after(s, (n) => {
        f(n);
        n.at = at;
      });
    switch (s.at) {
      case "load":
        return [go((n) => void (n.old = n.field), "root"), go(() => {}, "slice")];
      case "root":
        return [go((n) => void (n.stack = n.old), "barrier")];
      case "barrier":
        return [go((n) => (fault === "no barrier" ? undefined : shade(n, n.field, 1)), "clear")];
      case "clear":
        return [go((n) => void (n.field = -1), "slice")];
      case "slice":
        return [go((n) => void (n.active = true), "scan"), go(() => {}, "done")];
      case "scan":
        return [go((n) => void (n.taken = n.hands[1].pop() ?? n.list.pop() ?? -1), "scan on")];
      case "scan on": {
        const on = (n: Marking): void => {
          if (n.taken >= 0) n.hands[1].push(n.taken);
          n.taken = -1;
          scan(n, 1);
        };
        return [go(on, "leave"), go(on, "scan")];
      }
      case "leave":
        return [
          go((n) => {
            share(n, 1);
            n.active = false;
          }, "done"),
        ];
      default:
        return [];
    }
  };
  const safe = (s: Marking): boolean =>
    ["load", "slice", "done"].includes(s.at) ||
    (fault === "a stop in the middle of a slice" && s.at === "scan on");
  const driver = (s: Marking): Marking[] => {
    const busy = s.hands[0].length + s.list.length > 0;
    switch (s.driver) {
      case "mark":
        if (busy) return [after(s, (n) => scan(n, 0))];
        if (s.active && fault !== "a stop in the middle of a slice") return [];
        return [after(s, (n) => void (n.driver = fault === "no stop" ? "over" : "stop"))];
      case "stop":
        return safe(s) ? [after(s, (n) => void Object.assign(n, { stopped: true, driver: "adopt" }))] : [];
      case "adopt":
        return [
          after(s, (n) => {
            if (fault !== "no adoption") n.hands[0].push(...n.hands[1].splice(0));
            n.driver = "finish";
          }),
        ];
      case "finish": {
        if (!busy) return [after(s, (n) => void (n.driver = "over"))];
        const more = [after(s, (n) => scan(n, 0))];
        // More than a little is left: the world starts again.
        if (s.tries < 2)
          more.push(
            after(s, (n) => void Object.assign(n, { driver: "mark", stopped: false, tries: n.tries + 1 })),
          );
        return more;
      }
      default:
        return [];
    }
  };
  return {
    start: {
      field: 1,
      stack: -1,
      marked: [1, 0, 0, 1],
      scanned: [0, 0, 0, 0],
      list: [],
      hands: [[0, 3], []],
      at: "load",
      active: false,
      old: -1,
      taken: -1,
      driver: "mark",
      stopped: false,
      tries: 0,
    },
    moves: (s) => [...mutator(s), ...driver(s)],
    ended: (s) => s.driver === "over",
    wrong(s) {
      if (s.driver !== "over") return null;
      const live = [0, 3, ...(s.field >= 0 ? [1, 2] : []), ...(s.stack >= 0 ? [1, 2] : [])];
      const lost = live.find((o) => s.scanned[o] !== 1);
      return lost === undefined ? null : `object ${lost} is lost`;
    },
  };
}

// --- the end of a sweep

interface Sweeping {
  /** Spans on the list, the lock, and the span that each thread names. */
  list: number;
  lock: number;
  hand: number[];
  drained: boolean;
  ends: number;
  pending: boolean;
  swept: number;
  at: string[];
}

type SweepFault =
  | "none"
  | "no look after a span"
  | "named after it left the list"
  | "hands before drained"
  | "end without CAS";

const SPANS = 2;

function sweeping(fault: SweepFault): Model<Sweeping> {
  const step = (s: Sweeping, k: number): Sweeping[] => {
    const go = (at: string, f: (n: Sweeping) => void = () => {}): Sweeping[] => [
      after(s, (n) => {
        f(n);
        n.at[k] = at;
      }),
    ];
    const other = 1 - k;
    // Thread 0 sweeps to the end. Thread 1 sweeps one span, to allocate from it.
    const next = k === 0 ? "look" : "done";
    switch (s.at[k]) {
      case "look":
        if (!s.pending) return go("done");
        // Read without the lock.
        return go(s.list === 0 ? (fault === "hands before drained" ? "early" : "drain") : "lock");
      case "lock":
        return s.lock < 0 ? go("take", (n) => void (n.lock = k)) : [];
      case "take":
        if (s.list === 0) return go("look", (n) => void (n.lock = -1));
        return fault === "named after it left the list"
          ? go("name late", (n) => void Object.assign(n, { list: n.list - 1, lock: -1 }))
          : go("unlink", (n) => void (n.hand[k] = 1));
      case "unlink":
        return go("sweep", (n) => void Object.assign(n, { list: n.list - 1, lock: -1 }));
      case "name late":
        return go("sweep", (n) => void (n.hand[k] = 1));
      case "sweep":
        return go("give up", (n) => void (n.swept += 1));
      case "give up":
        return go(fault === "no look after a span" ? next : "after", (n) => void (n.hand[k] = 0));
      case "after":
        return go(s.drained ? "hands" : next);
      case "early":
        return go(s.hand[other] === 0 ? "drain" : "drain and leave");
      case "drain and leave":
        return go("done", (n) => void (n.drained = true));
      case "drain":
        return go("hands", (n) => void (n.drained = true));
      case "hands":
        return go(s.hand[other] === 0 && s.hand[k] === 0 ? "end" : "done");
      case "end":
        return fault === "end without CAS"
          ? go("end late", () => {})
          : go("done", (n) => {
              if (n.pending) n.ends += 1;
              n.pending = false;
            });
      case "end late":
        return go("done", (n) => void Object.assign(n, { ends: n.ends + 1, pending: false }));
      default:
        return [];
    }
  };
  return {
    start: {
      list: SPANS,
      lock: -1,
      hand: [0, 0],
      drained: false,
      ends: 0,
      pending: true,
      swept: 0,
      at: ["look", "look"],
    },
    moves: (s) => [...step(s, 0), ...step(s, 1)],
    ended: (s) => s.at.every((at) => at === "done"),
    wrong(s) {
      if (s.ends > 1) return "the sweep ends twice";
      if (s.ends === 1 && s.swept < SPANS) return "the sweep ends before its last span";
      if (s.at.every((at) => at === "done") && s.ends === 0) return "no thread finds the end";
      return null;
    },
  };
}

describe("the end of marking by several threads", () => {
  it("loses no object, whatever a barrier leaves in hand", () => {
    const { states, wrong } = explore(marking("none"));
    expect(wrong).toBeNull();
    expect(states).toBeGreaterThan(100);
  });
  it.each(["no stop", "no adoption", "no barrier", "a stop in the middle of a slice"] as MarkFault[])(
    "would with a fault: %s",
    (fault) => expect(explore(marking(fault)).wrong).not.toBeNull(),
  );
});

describe("the end of a sweep by several threads", () => {
  it("is found once, after the last span", () => {
    const { states, wrong } = explore(sweeping("none"));
    expect(wrong).toBeNull();
    expect(states).toBeGreaterThan(100);
  });
  it.each([
    "no look after a span",
    "named after it left the list",
    "hands before drained",
    "end without CAS",
  ] as SweepFault[])("would not be with a fault: %s", (fault) =>
    expect(explore(sweeping(fault)).wrong).not.toBeNull(),
  );
});
