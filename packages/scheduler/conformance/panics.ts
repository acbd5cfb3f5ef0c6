/**
 * The ends of faulty programs: their text on standard error, their status, and the value that recover gets.
 *
 * Each program that both Go and this package can express is written here under the name of its row. Skipped rows:
 *
 *     maps, comparison, indexing, slices, arithmetic,       need a compiler or the package of types
 *     nil dereference, type assertions
 *     finalizers, cleanups                                  need the collector
 *     stack overflow                                        Go prints its limit in bytes: see overflow.test.ts
 *     data races                                            cannot happen on one V8 thread
 *     os.Exit                                               belongs to the host
 *     float32, complex128, named types                      do not exist in JavaScript
 *     the printed address of a pointer                      does not exist here
 *
 * The type that recover sees is compared if JavaScript has it: errors of the runtime, strings, booleans, plain errors.
 */

import { isFatalError, isRuntimeError } from "@gort/base";
import { makechan } from "../src/chan.ts";
import { recv, send } from "../src/default.ts";
import { close } from "../src/nil-chan.ts";
import { defer, goexit, panic, panicValue, printpanicval, recover } from "../src/panic.ts";
import { recvCase, sendCase } from "../src/select-case.ts";
import { Cond, Mutex, Once, RWMutex, WaitGroup } from "../src/sync/index.ts";
import { createTestScheduler, type TestScheduler } from "../src/testing.ts";
import { crashReport } from "../src/traceback.ts";
import { check, newResult, type Result } from "./result.ts";

interface Case {
  name: string;
  kind: string;
  stderr_head: string[];
  exit_status: number;
  recover?: { type: string; text: string; is_error: boolean; is_runtime_error: boolean };
}

type Body = Generator<undefined, unknown, unknown>;
type Program = (s: TestScheduler, log: (line: string) => void) => Body | void;

class MyErr {
  readonly code: number;
  constructor(code: number) {
    this.code = code;
  }
  error(): string {
    return `my error ${this.code}`;
  }
}
class Strer {
  toString(): string {
    return "a stringer";
  }
}
class BadErr {
  error(): string {
    return panic("in Error");
  }
}

const programs: Record<string, Program> = {
  *chan_send_closed(s) {
    const c = s.makeChan<number>(1);
    c.close();
    yield* c.send(1);
  },
  chan_close_nil: () => close(null),
  chan_close_closed(s) {
    const c = s.makeChan();
    c.close();
    c.close();
  },
  chan_make_negative: (s) => void makechan(s, -1),
  chan_make_huge: (s) => void makechan(s, 2 ** 62),
  *chan_recv_nil_main() {
    yield* recv(null);
  },
  *chan_send_nil_main() {
    yield* send(null, 1);
  },
  *chan_recv_main(s) {
    yield* s.makeChan().recv();
  },
  *select_empty(s) {
    yield* s.select([]);
  },
  *select_two_blocked(s) {
    yield* s.select([recvCase(s.makeChan()), sendCase(s.makeChan<number>(), 1)]);
  },
  *select_all_nil(s) {
    yield* s.select([recvCase(null), sendCase(null, 1)]);
  },
  *chan_range_blocked(s) {
    yield* s.makeChan().forEach(() => {});
  },
  sync_unlock_unlocked: () => new Mutex().unlock(),
  sync_runlock_unlocked: () => new RWMutex().rUnlock(),
  sync_rw_unlock_unlocked: () => new RWMutex().unlock(),
  sync_unlock_twice_is_fatal_not_panic(_s, log) {
    defer(() => {
      recover();
      log("recovered");
    });
    new Mutex().unlock();
  },
  sync_negative_waitgroup: () => new WaitGroup().done(),
  sync_waitgroup_add_negative() {
    const w = new WaitGroup();
    w.add(2);
    w.add(-3);
  },
  *sync_waitgroup_wait_main() {
    const w = new WaitGroup();
    w.add(1);
    yield* w.wait();
  },
  *sync_mutex_deadlock() {
    const m = new Mutex();
    yield* m.lock();
    yield* m.lock();
  },
  *sync_rwmutex_deadlock_r() {
    const m = new RWMutex();
    yield* m.lock();
    yield* m.rLock();
  },
  *sync_rwmutex_deadlock_w() {
    const m = new RWMutex();
    yield* m.rLock();
    yield* m.lock();
  },
  *sync_cond_wait_main() {
    const c = new Cond(new Mutex());
    yield* c.L.lock();
    yield* c.wait();
  },
  sync_cond_copied() {
    const c = new Cond(new Mutex());
    c.signal();
    (Object.assign(Object.create(Cond.prototype), c) as Cond).signal();
  },
  *sync_once_panics() {
    yield* new Once().do(() => panic("in once"));
  },
  *deadlock_two_goroutines(s) {
    const c = s.makeChan<number>();
    s.go(function* () {
      yield* c.send(1);
      yield* c.send(2);
    });
    yield* c.recv();
    yield* recv(null);
  },
  deadlock_goexit_main: () => goexit(),
  deadlock_goexit_main_others_sleep(s, log) {
    s.go(function* () {
      yield* s.sleep(5);
      log("other done");
    });
    goexit();
  },
  deadlock_goexit_main_other_blocked(s) {
    s.go(function* () {
      yield* recv(null);
    });
    goexit();
  },
  *no_deadlock_with_timer(s) {
    const c = s.makeChan<number>();
    s.afterFunc(5, () => c.close());
    yield* c.recv();
  },
  nil_func_go: (s) => void s.go(null as never),
  panic_string: () => panic("boom"),
  panic_string_newline: () => panic("two\nlines"),
  panic_error: () => panic(new Error("an error")),
  panic_custom_error: () => panic(new MyErr(3)),
  panic_stringer: () => panic(new Strer()),
  panic_int: () => panic(42),
  panic_negative: () => panic(-3),
  panic_uint64: () => panic(1n << 63n),
  panic_float: () => panic(1.5),
  panic_bool: () => panic(true),
  panic_nil: () => panic(null),
  panic_nested_in_defer() {
    defer(() => panic("second"));
    panic("first");
  },
  panic_three_deep() {
    defer(() => panic("third"));
    defer(() => panic("second"));
    panic("first");
  },
  panic_recovered_then_new() {
    defer(() => {
      recover();
      panic("new one");
    });
    panic("old one");
  },
  panic_repanic_same() {
    defer(() => panic(recover()));
    panic("again");
  },
  panic_repanic_error() {
    defer(() => panic(recover()));
    panic(new Error("same error"));
  },
  *panic_in_goroutine(s) {
    s.go(() => panic("in goroutine"));
    yield* s.sleep(50);
  },
  panic_error_method_panics: () => panic(new BadErr()),
  *panic_recovered_goexit(s, log) {
    const done = s.makeChan<number>();
    s.go(() => {
      defer(() => done.close());
      defer(() => {
        const e = recover();
        log(`recover in Goexit: ${e === null ? "<nil>" : String(e)}`);
      });
      goexit();
    });
    yield* done.recv();
  },
};

/** `%T` of a recovered value, if JavaScript has the type. */
function typeOf(v: unknown): string | null {
  if (isRuntimeError(v)) return v.goType;
  if (typeof v === "string") return "string";
  if (typeof v === "boolean") return "bool";
  if (v instanceof Error && v.constructor === Error) return "*errors.errorString";
  return null;
}

function head(text: string): string[] {
  const out: string[] = [];
  for (const line of text.split("\n")) {
    if (out.length >= 7) break;
    if (/^goroutine \d+ /.test(line)) {
      out.push(line.replace(/^goroutine \d+ /, "goroutine N "));
      break;
    }
    out.push(line);
  }
  while (out.length > 0 && out[out.length - 1] === "") out.pop();
  return out;
}

/** Removes the addresses of G and M, which a throw prints in Go and which do not exist here. */
function withoutAddresses(lines: string[]): string[] {
  return lines.map((l) => l.replace(/ gp=\S+ m=\S+ mp=\S+/, ""));
}

export function run(vectors: unknown): Result {
  const r = newResult();
  for (const c of (vectors as { cases: Case[] }).cases) {
    const program = programs[c.name];
    if (program === undefined) continue;
    const s = createTestScheduler();
    let stderr = "";
    const log = (line: string) => {
      stderr += `${line}\n`;
    };
    let kind = "none";
    let status = 0;
    try {
      s.runMain(() => program(s, log) as Body);
    } catch (e) {
      kind = isFatalError(e) ? "fatal" : "panic";
      const report = crashReport(e)!;
      stderr += report.text;
      status = report.exitCode;
    }
    check(
      r,
      c.name,
      { kind, status, head: withoutAddresses(head(stderr)) },
      { kind: c.kind, status: c.exit_status, head: withoutAddresses(c.stderr_head) },
    );
    if (c.recover === undefined) continue;
    const got = recoverFrom(program);
    const type = typeOf(got);
    const isError = got instanceof Error || typeof (got as { error?: unknown } | null)?.error === "function";
    check(
      r,
      `${c.name} recover`,
      {
        type: type ?? c.recover.type,
        text: typeof got === "string" ? got : printpanicval(got),
        is_error: isError,
        is_runtime_error: isRuntimeError(got),
      },
      c.recover,
    );
  }
  return r;
}

/** The value that recover gives a deferred call of a goroutine that has run the program. */
function recoverFrom(program: Program): unknown {
  const s = createTestScheduler();
  let got: unknown = null;
  s.runMain(function* () {
    const g = s.go(function* () {
      defer(() => {
        got = recover();
      });
      const b = program(s, () => {});
      if (b !== undefined) yield* b;
    });
    yield* g.done();
  });
  return panicValue(got);
}
