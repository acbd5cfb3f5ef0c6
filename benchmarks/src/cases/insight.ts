// Statistics and stacks: the twin of go/insight.go.
import { type BlockProfileRecord, type Chan, createRuntime, newMemStats, type Runtime } from "@gort/runtime";
import type { Case } from "../child.ts";

const LIVE_OBJECTS = 100_000;
/** Goroutines whose stacks one text holds. */
const WAITING = 1000;

export function insightCases(rt: Runtime): Record<string, Case> {
  return { ...callerCases(rt), ...stackCases(rt), ...profileCases(rt), ReadMemStats: readMemStats(rt) };
}

/** Reads the statistics of a heap of LIVE_OBJECTS objects of 32 bytes. */
function readMemStats(rt: Runtime): Case {
  return (n) => {
    const { unsafe } = rt;
    const node32 = unsafe.newType(32, [0, 1]);
    const head = unsafe.newRoot();
    for (let i = 0; i < LIVE_OBJECTS; i++) {
      const p = unsafe.mallocTyped(node32);
      unsafe.storePointer(p, unsafe.loadPointer(head));
      unsafe.setRoot(head, p);
    }
    rt.gc();
    const stats = newMemStats();
    return () => {
      for (let i = 0; i < n; i++) rt.readMemStats(stats);
      return String(Math.floor(stats.HeapObjects / 10000) * 10000);
    };
  };
}

/** Frames of the calling place. */
function callerCases(rt: Runtime): Record<string, Case> {
  return {
    Caller: (n) => () => {
      let lines = 0;
      for (let i = 0; i < n; i++) {
        const { file, line, ok } = rt.caller(0);
        if (ok && line > 0 && /\.[jt]s$/.test(file)) lines++;
      }
      return String(lines);
    },

    Callers8: (n) => {
      const pcs = new Float64Array(8);
      return () => {
        let frames = 0;
        under(12, () => {
          for (let i = 0; i < n; i++) frames += rt.callers(1, pcs);
        });
        return String(frames);
      };
    },

    CallersFrames32: (n) => {
      const pcs = new Float64Array(32);
      return () => {
        let named = 0;
        under(40, () => {
          for (let i = 0; i < n; i++) {
            const frames = rt.callersFrames(pcs.subarray(0, rt.callers(1, pcs)));
            for (;;) {
              const { frame, more } = frames.next();
              if (frame.Line > 0) named++;
              if (!more) break;
            }
          }
        });
        return String(named);
      };
    },
  };
}

/** Texts of stacks. */
function stackCases(rt: Runtime): Record<string, Case> {
  return {
    Stack32: (n) => () =>
      rt.main(function* () {
        const buf = new Uint8Array(1 << 16);
        let complete = 0;
        under(30, () => {
          for (let i = 0; i < n; i++) {
            const text = Buffer.from(buf.buffer, 0, rt.stack(buf, false)).toString("latin1");
            if (text.split("(...)\n").length > 30) complete++;
          }
        });
        return String(complete);
      }),

    StackAll1000: async (n) => {
      const stop = rt.makeChan<boolean>();
      const begun = { waits: 0 };
      for (let i = 0; i < WAITING; i++) rt.go(wait, stop, begun, 3);
      await allWait(begun);
      const buf = new Uint8Array(4 << 20);
      return () => {
        let waiting = 0;
        for (let i = 0; i < n; i += WAITING) {
          const text = Buffer.from(buf.buffer, 0, rt.stack(buf, true)).toString("latin1");
          waiting += text.split("[chan receive").length - 1;
        }
        return String(waiting);
      };
    },

    StackAll1000Fresh: async (n) => {
      const again = rt.makeChan<boolean>();
      const begun = { waits: 0 };
      for (let i = 0; i < WAITING; i++) rt.go(waitAgain, again, begun, 3);
      await allWait(begun);
      const buf = new Uint8Array(4 << 20);
      return () =>
        new Promise<string>((resolve) => {
          rt.go(function* () {
            let waiting = 0;
            for (let i = 0; i < n; i += WAITING) {
              const goal = begun.waits + WAITING;
              for (let k = 0; k < WAITING; k++) yield* again.send(true);
              while (begun.waits < goal) yield* rt.gosched();
              const text = Buffer.from(buf.buffer, 0, rt.stack(buf, true)).toString("latin1");
              waiting += text.split("[chan receive").length - 1;
            }
            resolve(String(waiting));
          });
        });
    },
  };
}

/** Profiles of waits, and a custom profile. */
function profileCases(rt: Runtime): Record<string, Case> {
  return {
    BlockEvents: (n) => () => blockEvents(rt, n),

    BlockEventsSampled: (n) => {
      const sampled = createRuntime({ blockStackPeriod: 16 });
      return () => blockEvents(sampled, n);
    },

    ProfileCustom: (n) => {
      let round = 0;
      return async () => {
        const p = rt.profiler.newProfile(`benchmark${++round}`);
        for (let i = 0; i < n; i++) p.add({}, 0);
        let bytes = 0;
        await p.writeTo((b) => {
          bytes += b.length;
        }, 0);
        return bytes === 0 ? "nothing written" : String(p.count());
      };
    },
  };
}

/** Calls `f` below a stack of `depth` more frames. */
function under(depth: number, f: () => void): void {
  if (depth > 0) under(depth - 1, f);
  else f();
}

/** Counts the waits that goroutines have begun. */
interface Begun {
  waits: number;
}

/** Returns when all WAITING goroutines wait. They start, and count their wait, when the event loop turns. */
async function allWait(begun: Begun): Promise<void> {
  while (begun.waits < WAITING) await new Promise((resolve) => setTimeout(resolve, 1));
}

function* wait(stop: Chan<boolean>, begun: Begun, depth: number): Generator<undefined, void, unknown> {
  if (depth > 0) yield* wait(stop, begun, depth - 1);
  else {
    begun.waits++;
    yield* stop.recv();
  }
}

function* waitAgain(again: Chan<boolean>, begun: Begun, depth: number): Generator<undefined, void, unknown> {
  if (depth > 0) yield* waitAgain(again, begun, depth - 1);
  else {
    for (;;) {
      begun.waits++;
      yield* again.recv();
    }
  }
}

function blockEvents(rt: Runtime, n: number): Promise<string> {
  return rt.main(function* () {
    rt.setBlockProfileRate(1);
    const before = blocked(rt);
    const c = rt.makeChan<number>();
    rt.go(function* send() {
      for (let i = 0; i < n; i++) yield* c.send(i);
    });
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (yield* c.recv())!;
    rt.setBlockProfileRate(0);
    return blocked(rt) - before < n / 2 ? "waits are missing" : String(sum);
  });
}

function blocked(rt: Runtime): number {
  const records: (BlockProfileRecord | null)[] = new Array(rt.blockProfile(null).n + 8).fill(null);
  rt.blockProfile(records);
  return records.reduce((sum, r) => sum + (r?.Count ?? 0), 0);
}
