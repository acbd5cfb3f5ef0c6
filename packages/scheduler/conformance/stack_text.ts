/**
 * The tables of wait reasons and statuses, and the grammar of goroutine dumps.
 *
 * For every goroutine of the vectors whose wait exists here, a goroutine with functions of the same names enters the
 * same wait. Its header, its main.* functions and its creator must equal the vector's, and all lines must match the
 * grammar. Skipped: `IO wait` (there is no poller here), `syscall` frames of the syscall package, frames of other
 * packages (locks are ops, not functions), argument words and code offsets (unknown here), methods and generic
 * functions (their receivers and type parameters exist only in Go), a panic(...) frame (a JavaScript stack has none).
 */

import { recv, send } from "../src/default.ts";
import { gStack } from "../src/gstack.ts";
import type { G } from "../src/runtime2.ts";
import { recvCase } from "../src/select-case.ts";
import { Cond, Mutex, RWMutex, WaitGroup } from "../src/sync/index.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";
import { goroutineText, gStatusStrings, stackText } from "../src/traceback.ts";
import { waitReasonStrings } from "../src/wait-reasons.ts";
import { check, newResult, type Result } from "./result.ts";

interface Vectors {
  grammar: Record<string, string>;
  wait_reasons_by_number: string[];
  status_strings: Record<string, string>;
  buffer_of_40_bytes: { n: number };
  goroutines: string[][];
}

type Body = Generator<undefined, unknown, unknown>;
type Wait = (s: TestScheduler) => Body;

/** Functions that wait, by the status in the header of their goroutine. */
const waits: Record<string, Wait> = {
  *"chan receive"(s) {
    yield* s.makeChan().recv();
  },
  *"chan send"(s) {
    yield* s.makeChan().send(1);
  },
  *"chan receive (nil chan)"() {
    yield* recv(null);
  },
  *"chan send (nil chan)"() {
    yield* send(null, 1);
  },
  *select(s) {
    yield* s.select([recvCase(s.makeChan()), recvCase(s.makeChan())]);
  },
  *"select (no cases)"(s) {
    yield* s.select([]);
  },
  *sleep(s) {
    yield* s.sleep(3_600_000);
  },
  *runnable(s) {
    yield* s.gosched();
  },
  *syscall(s) {
    yield* s.syscall(new Promise<void>(() => {}));
  },
  *"sync.Cond.Wait"() {
    const c = new Cond(new Mutex());
    yield* c.L.lock();
    yield* c.wait();
  },
  *"sync.Mutex.Lock"() {
    const m = new Mutex();
    yield* m.lock();
    yield* m.lock();
  },
  *"sync.RWMutex.RLock"() {
    const m = new RWMutex();
    yield* m.lock();
    yield* m.rLock();
  },
  *"sync.RWMutex.Lock"() {
    const m = new RWMutex();
    yield* m.rLock();
    yield* m.lock();
  },
  *"sync.WaitGroup.Wait"() {
    const w = new WaitGroup();
    w.add(1);
    yield* w.wait();
  },
};

/** A generator function of the given name that runs `inner`. */
function named(name: string, inner: () => Body): () => Body {
  const f = {
    *[name](): Body {
      return yield* inner();
    },
  }[name];
  return f;
}

/** Splits `[chan receive, locked to thread] {"k 2": "with space", k1: plain}` into its parts. */
function readHeader(re: RegExp, line: string) {
  const g = re.exec(line.replace("goroutine N", "goroutine 1"))?.groups;
  if (g === undefined) return null;
  const labels = new Map<string, string>();
  for (const m of (g.labels ?? "").matchAll(/("(?:[^"\\]|\\.)*"|[^":, ]+): ("(?:[^"\\]|\\.)*"|[^", ]+)/g)) {
    const text = (x: string) => (x.startsWith('"') ? (JSON.parse(x) as string) : x);
    labels.set(text(m[1]), text(m[2]));
  }
  return { status: g.status, locked: g.locked !== undefined, labels };
}

/** The regular expression of a grammar entry, without the remark after it. */
function regexp(entry: string): RegExp {
  return new RegExp(entry.replace(/\$ -- .*$/s, "$"));
}

export function run(vectors: unknown): Result {
  const v = vectors as Vectors;
  const r = newResult();
  check(r, "wait_reasons_by_number", waitReasonStrings, v.wait_reasons_by_number);
  const statusNumbers: Record<string, number> = {
    _Gidle: 0,
    _Grunnable: 1,
    _Grunning: 2,
    _Gsyscall: 3,
    _Gwaiting: 4,
    _Gdead: 6,
    _Gcopystack: 8,
    _Gpreempted: 9,
  };
  for (const [name, text] of Object.entries(v.status_strings)) {
    const n = statusNumbers[name];
    // No goroutine here enters the states Gdeadextra and Gleaked.
    if (n !== undefined) check(r, name, gStatusStrings[n], text);
  }
  const re = {
    header: regexp(v.grammar.header),
    created: regexp(v.grammar.created),
    function: regexp(v.grammar.function),
    position: regexp(v.grammar.position),
    elided: regexp(v.grammar.elided),
  };
  const inGrammar = (text: string): string[] => {
    const bad: string[] = [];
    let wantPosition = false;
    for (const [i, line] of text.replace(/\n$/, "").split("\n").entries()) {
      const ok = wantPosition
        ? re.position.test(line)
        : i === 0
          ? re.header.test(line)
          : re.created.test(line) || re.function.test(line) || re.elided.test(line);
      wantPosition = !wantPosition && i > 0 && !re.elided.test(line);
      if (!ok) bad.push(line);
    }
    return bad;
  };

  for (const lines of v.goroutines) {
    const h = readHeader(re.header, lines[0]);
    const wait = h === null ? undefined : waits[h.status];
    const functions = lines
      .map((line) => /^main\.(\w+)\(/.exec(line)?.[1])
      .filter((name): name is string => name !== undefined);
    const all = lines.filter((line) => /^main\./.test(line)).length;
    const created = lines.some((line) => line.startsWith("created by main.main in"));
    if (h === null || wait === undefined || functions.length === 0 || functions.length !== all || !created)
      continue;
    if (lines.some((line) => line.startsWith("panic(") || line.includes("more of the same"))) continue;
    const s = createTestScheduler();
    let text = "";
    try {
      s.runMain(function* main() {
        let f: () => Body = () => wait(s);
        for (const name of functions) f = named(name, f);
        let g: G | null = null;
        s.go(function* () {
          g = s.getg();
          if (h.locked) s.lockOSThread();
          if (h.labels.size > 0) g!.labels = h.labels;
          yield* f();
        });
        yield* s.gosched();
        text = goroutineText(g!, gStack(g!));
        // Twice, since the capture of a stack must not affect the goroutine.
        if (text !== goroutineText(g!, gStack(g!))) throw new Error("a second dump differs");
        verifyWait(g!);
      });
    } catch (e) {
      text = String(e);
    }
    const got = text.split("\n");
    const name = `dump ${functions.join(" < ")} [${h.status}]`;
    check(r, `${name} grammar`, inGrammar(text), []);
    check(r, `${name} header`, got[0].replace(/^goroutine \d+/, "goroutine N"), lines[0]);
    const names = got.map((line) => /^main\.(.+)\(\.\.\.\)$/.exec(line)?.[1]).filter((x) => x !== undefined);
    // The other functions are the wait itself and the function given to go. A bundle also shows functions of the
    // package.
    check(
      r,
      `${name} functions`,
      names.filter((x) => functions.includes(x)),
      functions,
    );
    check(
      r,
      `${name} creator`,
      got.some((line) => /^created by main\.main in goroutine 1$/.test(line)),
      true,
    );
  }

  const s = createTestScheduler();
  s.runMain(function* () {
    const buf = new Uint8Array(40);
    const n = s.stack(buf, false);
    check(r, "buffer_of_40_bytes", n, v.buffer_of_40_bytes.n);
    const full = stackText(s, false);
    const big = new Uint8Array(1 << 16);
    const m = s.stack(big, false);
    check(
      r,
      "stack of current only",
      /^goroutine \d+ \[running\]:\n/.test(new TextDecoder().decode(big.subarray(0, m))),
      true,
    );
    check(r, "ends with a newline", full.endsWith("\n"), true);
    let g: G | null = null;
    function* deep(n: number): Body {
      return n === 0 ? yield* s.makeChan().recv() : yield* deep(n - 1);
    }
    s.go(function* () {
      g = s.getg();
      yield* deep(199);
    });
    yield* s.gosched();
    const text = goroutineText(g!, gStack(g!));
    const lines = text.split("\n");
    check(
      r,
      "over 100 frames",
      lines.filter((l) => re.elided.test(l)),
      ["...101 frames elided..."],
    );
    check(r, "over 100 frames: printed", lines.filter((l) => l.startsWith("\t")).length, 101);
    check(r, "over 100 frames: grammar", inGrammar(text), []);
    yield* s.gosched();
    const dump = stackText(s, true);
    check(r, "calling goroutine first", dump.startsWith("goroutine 1 [running]:\n"), true);
    check(
      r,
      "blocks separated by one empty line",
      dump.split("\n\n").every((b) => inGrammar(b).length === 0),
      true,
    );
  });
  return r;
}

function verifyWait(g: G): void {
  if (g.waitOp === null) throw new Error("the goroutine lost its op");
}
