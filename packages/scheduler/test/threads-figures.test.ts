/** Counts, dumps and traces over several threads, against a double of the others (thread-kit.ts). */
import { describe, expect, it } from "vitest";
import { schedCounters } from "../src/counters.ts";
import { crashReport, goexit, panic } from "../src/index.ts";
import { schedtraceText } from "../src/schedtrace.ts";
import { stackText } from "../src/traceback.ts";
import { type FakeThread, World } from "./thread-kit.ts";

/** Two threads, each idle once. */
function two(gomaxprocs = 2): { world: World; a: FakeThread; b: FakeThread } {
  const world = new World(gomaxprocs);
  const [a, b] = [world.thread(), world.thread({ onCrash: () => {} })];
  return { world, a, b };
}

/** Runs `f` in a goroutine of `t`. */
function inside<T>(t: FakeThread, f: () => T): T {
  let result: T[] = [];
  t.s.go(() => {
    result = [f()];
  });
  t.step();
  return result[0];
}

describe("counts over threads", () => {
  it("have the goroutines of all threads and the tasks that have not started", () => {
    const { world, a, b } = two();
    for (const t of [a, b, b]) t.s.go(() => t.s.makeChan().recv());
    world.run();
    for (let i = 0; i < 3; i++) {
      world.tasks.push({ f: () => {}, args: [], goid: a.s.newGoid(), parentGoid: 0, site: null });
    }
    expect([a.s.numGoroutine(), b.s.numGoroutine()]).toEqual([6, 6]);
    const c = inside(a, () => a.s.readCounters());
    expect(c[schedCounters.goroutines]).toBe(7);
    expect(c[schedCounters.goroutinesRunning]).toBe(1);
    expect(c[schedCounters.goroutinesRunnable]).toBe(3);
    expect(c[schedCounters.goroutinesWaiting]).toBe(3);
    expect(c[schedCounters.goroutinesCreated]).toBe(7);
    expect(c[schedCounters.threads]).toBe(2);
    expect(c[schedCounters.gomaxprocs]).toBe(2);
    // The block of a thread has its own figures.
    world.run();
    expect([a.counters[schedCounters.goroutines], b.counters[schedCounters.goroutines]]).toEqual([1, 2]);
  });

  it("have the calls of native code of all threads", () => {
    const { a, b } = two();
    a.s.cgocall(() => {});
    for (let i = 0; i < 4; i++) b.s.cgocall(() => {});
    expect([a.s.numCgoCall(), b.s.numCgoCall()]).toEqual([5, 5]);
  });
});

describe("dumps over threads", () => {
  function waiting() {
    const all = two();
    const { world, a, b } = all;
    const c = [a, b, a].map((t) => t.s.makeChan());
    a.s.go(function* first() {
      yield* c[0].recv();
    });
    b.s.go(function* second() {
      yield* c[1].recv();
    });
    b.s.goSystem(function* sweeper() {
      yield* c[1].recv();
    }, "runtime.bgsweep");
    a.s.go(function* third() {
      yield* c[2].send(1);
    });
    world.run();
    return all;
  }
  const headers = (text: string) => text.match(/^goroutine .*$/gm);

  it("list the goroutines of all threads by number, and the tasks that have not started", () => {
    const { world, a } = waiting();
    const site = { func: "main.serve", file: "serve.ts", line: 12 };
    world.tasks.push({ f: function work() {}, args: [], goid: 900, parentGoid: 3, site });
    world.tasks.push({ f: () => {}, args: [], goid: 901, parentGoid: 0, site: null });
    const text = inside(a, () => stackText(a.s, true));
    const own = /^goroutine (\d+) \[running]:/.exec(text)![1];
    expect(headers(text)).toEqual([
      `goroutine ${own} [running]:`,
      "goroutine 2 [chan receive]:",
      "goroutine 3 [chan send]:",
      "goroutine 18 [chan receive]:",
      "goroutine 900 [runnable]:",
      "goroutine 901 [runnable]:",
    ]);
    expect(text).toContain(
      "\n\ngoroutine 900 [runnable]:\nmain.work(...)\n\tserve.ts:12\n" +
        "created by main.serve in goroutine 3\n\tserve.ts:12\n\n",
    );
    expect(text).toMatch(/\n\ngoroutine 901 \[runnable]:\nmain\.f\(\.\.\.\)\n\tunknown:0\n$/);
  });

  it("have the runtime's own goroutines of all threads if asked for", () => {
    const { a } = waiting();
    const shown = a.dumps(true).map((d) => d.text);
    expect(shown.filter((text) => text.includes("main.sweeper"))).toHaveLength(1);
    expect(a.dumps(false).some((d) => d.text.includes("main.sweeper"))).toBe(false);
  });

  it("belong to the report of a deadlock, and of a panic with GOTRACEBACK=all", async () => {
    const world = new World(2);
    const [a, b] = [world.thread({ deadlock: "eager" }), world.thread()];
    b.s.go(function* elsewhere() {
      yield* b.s.makeChan().recv();
    });
    world.run();
    const dead = a.s.main(() => a.s.makeChan().recv()).catch((e: unknown) => e);
    world.run();
    expect(headers(crashReport(await dead)!.text)).toEqual([
      "goroutine 1 [chan receive]:",
      "goroutine 18 [chan receive]:",
    ]);
    for (const all of [false, true]) {
      a.s.tracebackAll = all;
      const panicked = a.s.main(() => panic("x")).catch((e: unknown) => e);
      world.run();
      expect(headers(crashReport(await panicked)!.text)).toHaveLength(all ? 2 : 1);
    }
  });

  it("tell a deadlock after Goexit of main from one with goroutines on other threads", async () => {
    for (const goroutines of [0, 1]) {
      const world = new World(2);
      const [a, b] = [world.thread({ deadlock: "eager" }), world.thread()];
      if (goroutines > 0) b.s.go(() => b.s.makeChan().recv());
      world.run();
      const dead = a.s.main(() => goexit()).catch((e: unknown) => e);
      world.run();
      const text = crashReport(await dead)!.text;
      expect(text.startsWith("fatal error: no goroutines (main called runtime.Goexit) - deadlock!")).toBe(
        goroutines === 0,
      );
    }
  });
});

describe("schedtrace over threads", () => {
  it("has a number for each P, and counts the goroutines of a thread without a P as the global queue", () => {
    const { world, a, b } = two(3);
    b.s.go(() => {});
    world.run();
    const lines: string[] = [];
    a.s.go(function* () {
      yield* a.s.gosched();
      a.ticks = 40;
      for (let i = 0; i < 3; i++) a.s.go(() => {});
      for (let i = 0; i < 2; i++) b.s.go(() => {});
      world.tasks.push({ f: () => {}, args: [], goid: 900, parentGoid: 0, site: null });
      lines.push(schedtraceText(a.s, 17.5, false));
      b.hasP = true;
      lines.push(schedtraceText(a.s, 18, false));
      b.hasP = false;
    });
    world.run();
    lines.push(schedtraceText(a.s, 20, false));
    const head = (idleprocs: number, idlethreads: number, runqueue: number) =>
      `gomaxprocs=3 idleprocs=${idleprocs} threads=2 spinningthreads=0 needspinning=0 ` +
      `idlethreads=${idlethreads} runqueue=${runqueue}`;
    expect(lines).toEqual([
      `SCHED 17ms: ${head(2, 0, 3)} [ 2 0 0 ] schedticks=[ 40 0 0 ]\n`,
      `SCHED 18ms: ${head(1, 0, 1)} [ 2 2 0 ] schedticks=[ 40 1 0 ]\n`,
      `SCHED 20ms: ${head(3, 2, 0)} [ 0 0 0 ] schedticks=[ 0 0 0 ]\n`,
    ]);
  });

  it("shows every P, M and G with scheddetail", () => {
    const { world, a, b } = two();
    b.s.go(() => b.s.sleep(100));
    a.s.go(() => a.s.makeChan().recv());
    world.run();
    let text = "";
    a.s.go(function* () {
      a.s.lockOSThread();
      b.s.go(function* () {
        b.s.lockOSThread();
        yield* b.s.makeChan().send(1);
      });
      b.step();
      text = schedtraceText(a.s, 3, true);
      yield* a.s.gosched();
    });
    world.run();
    expect(text).toBe(`SCHED 3ms: gomaxprocs=2 idleprocs=1 threads=2 spinningthreads=0 needspinning=0 \
idlethreads=1 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false
  P0: status=1 schedtick=1 syscalltick=0 m=0 runqsize=0 gfreecnt=0 timerslen=0
  P1: status=0 schedtick=0 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0
  M0: p=0 curg=3 mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=false lockedg=3
  M1: p=nil curg=nil mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=true lockedg=nil
  G2: status=4(chan receive) m=nil lockedm=nil
  G3: status=2() m=0 lockedm=0
  G18: status=4(sleep) m=nil lockedm=nil
  G19: status=4(chan send) m=nil lockedm=1
`);
  });
});
