/** The lines of GODEBUG=schedtrace, in Go's format. */
import { describe, expect, it } from "vitest";
import { createScheduler } from "../src/index.ts";
import { schedtraceText } from "../src/schedtrace.ts";
import { createTestScheduler } from "../src/testing.ts";

const twoProcs = { gomaxprocs: 2, procs: { max: 2, why: "" } };

describe("schedtrace", () => {
  function traced(godebug: string, start: number) {
    const host = {
      t: start,
      text: [] as string[],
      tasks: [] as (() => void)[],
      timers: [] as { fn: () => void; ms: number; ref: boolean }[],
    };
    const s = createScheduler({
      godebug,
      ...twoProcs,
      deadlock: "off",
      stderr: (text) => host.text.push(text),
      clock: {
        now: () => host.t,
        setTimer: (fn, ms, ref) => host.timers.push({ fn, ms, ref }),
        clearTimer: () => {},
      },
      tasks: { task: (f) => host.tasks.push(f), microtask: (f) => host.tasks.push(f) },
    });
    const run = () => {
      while (host.tasks.length > 0) host.tasks.shift()!();
    };
    return { s, host, run };
  }
  const rest = (idle: number) =>
    `gomaxprocs=2 idleprocs=${1 + idle} threads=1 spinningthreads=0 needspinning=0 idlethreads=${idle} runqueue=0`;

  it.each([0, 1000])("prints every period from the first work at clock time %d until close", (start) => {
    const { s, host, run } = traced("schedtrace=100", start);
    expect(host.text).toEqual([]);
    s.go(() => {});
    expect(host.text).toEqual([`SCHED 0ms: ${rest(0)} [ 1 0 ] schedticks=[ 0 0 ]\n`]);
    expect(host.timers).toMatchObject([{ ms: 100, ref: false }]);
    run();
    host.t += 250.9;
    host.timers.pop()!.fn();
    expect(host.text.splice(0).slice(1)).toEqual([`SCHED 250ms: ${rest(1)} [ 0 0 ] schedticks=[ 1 0 ]\n`]);
    // More work does not start a second series.
    s.go(() => {});
    run();
    expect([host.text, host.timers.length]).toEqual([[], 1]);
    s.close();
    host.timers.pop()!.fn();
    expect([host.text, host.timers.length]).toEqual([[], 0]);
  });

  it("is off without a period", () => {
    for (const godebug of ["", "schedtrace=0", "schedtrace=-1", "scheddetail=1"]) {
      const { s, host, run } = traced(godebug, 0);
      s.go(() => {});
      run();
      expect([host.text, host.timers]).toEqual([[], []]);
      s.close();
    }
  });

  it("prints a block of lines with scheddetail", () => {
    const { s, host } = traced("schedtrace=100,scheddetail=1", 0);
    s.go(() => {});
    expect(host.text).toHaveLength(1);
    expect(host.text[0]).toMatch(/^SCHED 0ms: .*\n {2}P0: /);
    s.close();
  });
});

describe("a block of scheddetail", () => {
  it("has lines for every P, the thread, and the goroutines that have not ended", () => {
    const s = createTestScheduler(twoProcs);
    const blocks: string[] = [];
    s.runMain(function* () {
      s.go(() => {});
      s.go(function* waiter() {
        s.lockOSThread();
        yield* s.makeChan().recv();
      });
      s.go(function* sleeper() {
        yield* s.sleep(1000);
      });
      yield* s.sleep(1);
      blocks.push(schedtraceText(s, 12.9, true));
      s.lockOSThread();
      blocks.push(schedtraceText(s, 13, true));
      blocks.push(schedtraceText(createTestScheduler(), 0, true));
      s.go(() => {});
      s.go(() => {});
      blocks.push(schedtraceText(s, 14, false));
    });
    const ticks = Number(/schedtick=(\d+)/.exec(blocks[0])![1]);
    const head = (ms: number) =>
      `SCHED ${ms}ms: gomaxprocs=2 idleprocs=1 threads=1 spinningthreads=0 needspinning=0 idlethreads=0 runqueue=0`;
    const block = (ms: number, lockedg: string, lockedm: string) =>
      `${head(ms)} gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false
  P0: status=1 schedtick=${ticks} syscalltick=0 m=0 runqsize=0 gfreecnt=1 timerslen=1
  P1: status=0 schedtick=0 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0
  M0: p=0 curg=1 mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=false lockedg=${lockedg}
  G1: status=2(sleep) m=0 lockedm=${lockedm}
  G3: status=4(chan receive) m=nil lockedm=0
  G4: status=4(sleep) m=nil lockedm=nil
`;
    expect(ticks).toBeGreaterThan(0);
    expect(blocks[0]).toBe(block(12, "nil", "nil"));
    expect(blocks[1]).toBe(block(13, "1", "0"));
    // The goroutine of another scheduler is not listed.
    expect(blocks[2]).toBe(`SCHED 0ms: gomaxprocs=1 idleprocs=1 threads=1 spinningthreads=0 needspinning=0 \
idlethreads=1 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false
  P0: status=0 schedtick=0 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0
  M0: p=nil curg=nil mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=true lockedg=nil
`);
    expect(blocks[3]).toBe(`${head(14)} [ 1 0 ] schedticks=[ ${ticks} 0 ]\n`);
  });
});
