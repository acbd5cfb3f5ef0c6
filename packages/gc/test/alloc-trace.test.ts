import type { Addr } from "@gort/memory";
import { describe, expect, it } from "vitest";
import { hostStack, whoHolds } from "../src/alloc-trace.ts";
import { CLOBBER_WORD } from "../src/internal.ts";
import { type RigOptions, rig } from "./kit.ts";

/** A rig with allocfreetrace. The test sets the stack that its goroutine reports. */
function traced(options: RigOptions = {}) {
  const state = { stack: "main" };
  const r = rig({
    godebug: "allocfreetrace=1,clobberfree=1",
    world: {
      stopTheWorld() {},
      startTheWorld() {},
      gomaxprocs: () => 1,
      ready() {},
      currentStack: () => `goroutine 1 [running]:\n${state.stack}\n`,
    },
    ...options,
  });
  return Object.assign(r, { state });
}

/** The text of what f throws. */
function report(f: () => void): string {
  try {
    f();
  } catch (err) {
    const { message, detail } = err as { message: string; detail?: string };
    return `${message}\n${detail}`;
  }
  throw new Error("nothing was thrown");
}

describe("allocfreetrace", () => {
  it("names the stacks that allocated and freed an object when a stale local is used", () => {
    const { a, gc, node, state } = traced();
    gc.gc();
    state.stack = "maker";
    const p = a.mallocTyped(node);
    const kept = a.mallocTyped(node);
    gc.refs.alloc(kept);
    gc.trace!.check(p);
    gc.trace!.check((p + 31) as Addr);
    state.stack = "collector";
    gc.gc();
    state.stack = "user";
    const text = report(() => gc.trace!.check((p + 8) as Addr));
    expect(text).toContain("use of a freed object (a raw pointer was kept over a safepoint)");
    expect(text).toContain(`pointer 0x${(p + 8).toString(16)} to a freed object`);
    expect(text).toMatch(
      new RegExp(
        `object 0x${p.toString(16)} of 32 bytes, slot \\d+ of the span at 0x[0-9a-f]+\\n\\n` +
          "allocated by\\ngoroutine 1 \\[running\\]:\\nmaker\\n\\n" +
          "freed by the sweep of cycle 2, in\\ngoroutine 1 \\[running\\]:\\ncollector$",
      ),
    );
    gc.trace!.check(kept);
  });

  it("names no owner if the last one was not sampled", () => {
    const { a, gc, node } = traced();
    const p = a.mallocTyped(node);
    gc.gc();
    a.setMemProfileRate(0);
    const fresh = new Set<number>();
    for (let i = 0; i < 1000; i++) fresh.add(a.mallocTyped(node));
    expect(fresh).toContain(p);
    gc.gc();
    const text = report(() => gc.trace!.check(p));
    expect(text).toContain("use of a freed object");
    expect(text).not.toContain("allocated by");
  });

  it("knows the owner of a span that was freed as a whole, and of every page of a large object", () => {
    const { a, gc, state } = traced();
    state.stack = "maker";
    const p = a.mallocNoscan(100_000);
    state.stack = "collector";
    gc.gc();
    gc.refs.alloc(p + 50_000);
    const text = report(() => gc.gc());
    expect(text).toContain("found bad pointer in Go heap (incorrect use of unsafe or cgo?)");
    expect(text).toContain(`object 0x${p.toString(16)} of 106496 bytes`);
    expect(text).toContain("allocated by\ngoroutine 1 [running]:\nmaker");
    expect(text).toContain("freed by the sweep of cycle 1, in\ngoroutine 1 [running]:\ncollector");
  });

  it("tells the last owner of a slot that had several", () => {
    const { a, gc, node, state } = traced();
    gc.refs.alloc(a.mallocTyped(node));
    const addrs = new Set<Addr>();
    for (const owner of ["first", "second"]) {
      state.stack = owner;
      addrs.add(a.mallocTyped(node));
      gc.gc();
    }
    const [p, other] = addrs;
    expect(other).toBeUndefined();
    const text = report(() => gc.trace!.check(p));
    expect(text).toContain("second");
    expect(text).not.toContain("first");
  });

  it("says what points to a freed object that marking met", () => {
    const { a, gc, node, state } = traced();
    const holder = a.mallocTyped(node);
    gc.refs.alloc(holder);
    state.stack = "maker";
    const gone = a.mallocTyped(node);
    gc.gc();
    gc.storePointer(holder + 8, gone);
    const text = report(() => gc.gc());
    expect(text).toContain("found pointer to free object");
    expect(text).toContain(`marked free object 0x${gone.toString(16)}`);
    expect(text).toContain(`runtime: found at *(0x${(holder + 8).toString(16)})`);
    expect(text).toContain("allocated by\ngoroutine 1 [running]:\nmaker");
    expect(text).toContain("freed by the sweep of cycle 1");
  });

  it("lets addresses outside of the heap pass, and stops at the word that clobberfree writes", () => {
    const { a, gc } = traced();
    gc.trace!.check(a.zerobase);
    gc.trace!.check(a.stackAlloc(2048));
    gc.trace!.check(8 as Addr);
    const text = report(() => gc.trace!.check(CLOBBER_WORD as Addr));
    expect(text).toContain("use of a pointer read from freed memory");
  });

  it("takes V8's stack where there are no goroutines", () => {
    const { a, gc } = rig({ godebug: "allocfreetrace=1" });
    const p = (function allocatesForTheTest() {
      return a.mallocNoscan(64);
    })();
    gc.gc();
    expect(report(() => gc.trace!.check(p))).toContain("allocatesForTheTest");
  });
});

describe("without allocfreetrace", () => {
  it("reports a freed object that marking meets, with its span and the slot that points to it", () => {
    const { a, gc, node } = rig();
    const holder = a.mallocTyped(node);
    gc.refs.alloc(holder);
    const gone = a.mallocTyped(node);
    gc.gc();
    gc.refs.alloc(gone);
    const text = report(() => gc.gc());
    expect(text).toMatch(/in span 0x[0-9a-f]+, base 0x[0-9a-f]+, elemsize=32, index 1/);
    expect(text).toContain("a root points to it");
    expect(text).not.toContain("allocated by");
    expect(gc.trace).toBeNull();
  });
});

describe("the record of an address", () => {
  it("is the last owner's, of the sizes that its memory has had", () => {
    const { a, gc, state } = traced();
    const owners = (sizes: number[], stack: string): Addr[] => {
      state.stack = stack;
      const list = sizes.map((n) => a.mallocNoscan(n));
      gc.gc();
      return list;
    };
    // The same thirteen pages hold one object, then two of five pages each, then one again.
    const [p] = owners([100_000], "first") as [Addr];
    expect(owners([40_000, 40_000], "second")).toEqual([p, p + 40_960]);
    expect(owners([100_000], "third")).toEqual([p]);
    const trace = gc.trace!;
    for (const at of [p, p + 8192, p + 40_960, p + 81_919, p + 106_495]) {
      expect(trace.describe(at)).toContain(
        `object 0x${p.toString(16)} of 106496 bytes, slot 0 of the span at`,
      );
      expect(trace.describe(at)).toContain("\nthird\n\nfreed by the sweep of cycle 3");
    }
    for (const at of [p + 106_496, p - 1, 8]) expect(trace.describe(at)).toBe("");
    // The part of a page that no object covered.
    const small = owners([64], "small")[0];
    expect(trace.describe(small + 63)).toContain("of 64 bytes");
    for (const at of [small + 64, small + 8191]) expect(trace.describe(at)).not.toContain("of 64 bytes");
  });

  it("says nothing of a sweep while the object is in use, and takes no empty lines from its stack", () => {
    const { a, gc, state } = traced();
    state.stack = "maker\n\n";
    const p = a.mallocNoscan(64);
    expect(gc.trace!.describe(p)).toMatch(/allocated by\ngoroutine 1 \[running\]:\nmaker$/);
  });

  it("is asked for where a whole span was freed, and not at the end of the heap", () => {
    const { a, gc } = traced();
    const p = a.mallocNoscan(100_000);
    gc.gc();
    expect(report(() => gc.trace!.check((p + 50_000) as Addr))).toContain("use of a freed object");
    gc.trace!.check(gc.heap.arenaEnd as Addr);
    gc.trace!.check((gc.heap.arenaStart - 8) as Addr);
  });
});

describe("the report of an object's holder", () => {
  it("is a slot, a root, or nothing", () => {
    const { a, gc, node } = rig();
    const [first, second, third, none] = Array.from({ length: 4 }, () => a.mallocTyped(node)) as [
      Addr,
      Addr,
      Addr,
      Addr,
    ];
    gc.refs.alloc(first);
    gc.storePointer(first + 8, second);
    gc.storePointer(second, third);
    const holds = (p: Addr) => whoHolds(gc.heap, gc.roots, p);
    expect([first, second, third, none].map(holds)).toEqual([
      "\nruntime: a root points to it",
      `\nruntime: found at *(0x${(first + 8).toString(16)})`,
      `\nruntime: found at *(0x${second.toString(16)})`,
      "",
    ]);
  });
});

describe("the host's stack", () => {
  it("has 32 frames of the caller, whatever the limit is, and leaves that as it is", () => {
    const deep = (n: number): string => (n === 0 ? hostStack() : deep(n - 1));
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 3;
    try {
      const lines = deep(40).split("\n");
      expect([lines.length, Error.stackTraceLimit]).toEqual([32, 3]);
      for (const line of lines) expect(line).toMatch(/^ +at deep /);
    } finally {
      Error.stackTraceLimit = limit;
    }
  });

  it("is empty where the engine captures none", () => {
    const { captureStackTrace } = Error;
    Reflect.set(Error, "captureStackTrace", undefined);
    try {
      expect(hostStack()).toBe("");
    } finally {
      Error.captureStackTrace = captureStackTrace;
    }
  });
});
