import { describe, expect, it, vi } from "vitest";
import { recvCase } from "../src/index.ts";
import { Mutex } from "../src/sync.ts";
import { make, profileText } from "./kit.ts";

describe("the profile of leaked goroutines", () => {
  it("lists those that nothing can wake, with their function and where they were started", async () => {
    const rt = make({ leakDetection: true });
    const held = rt.makeChan<number>();
    function startThem(): void {
      rt.go(function* lost() {
        yield* rt.makeChan<number>().recv();
      });
      rt.go(function* waits() {
        yield* held.recv();
      });
    }
    startThem();
    const leaks = rt.profiler.lookup("goroutineleak")!;
    for (let i = 0; i < 100 && leaks.count() === 0; i++) await new Promise((r) => setTimeout(r, 5));
    expect(leaks.count()).toBe(1);
    const grouped = await profileText(rt, "goroutineleak", 1);
    expect(grouped).toMatch(/^goroutineleak profile: total 1\n1 @ 0x/);
    expect(grouped).toMatch(/main\.lost\+/);
    expect(grouped).toMatch(/startThem\+.*leaked-goroutines\.test\.ts:\d+/);
    const dump = await profileText(rt, "goroutineleak", 2);
    expect(dump).toMatch(/^goroutine \d+ \[waiting \(leaked\)\]:\nmain\.lost\(\.\.\.\)\n/);
    expect(dump).toContain("[chan receive]");
    expect(held.trySend(1)).toBe(true);
  });

  it("shows where a leaked goroutine waits, if it was still there when the profile was asked for", async () => {
    const rt = make({ leakDetection: true });
    const held = rt.makeChan<number>();
    function* receive(c: { recv(): ReturnType<typeof held.recv> }) {
      yield* c.recv();
    }
    rt.go(function* lost() {
      yield* receive(rt.makeChan<number>());
    });
    rt.go(function* waits() {
      yield* receive(held);
    });
    await new Promise((r) => setTimeout(r, 5));
    const grouped = await profileText(rt, "goroutineleak", 1);
    expect(grouped).toMatch(
      /^goroutineleak profile: total 1\n1 @ 0x\w+( 0x\w+){4}\n#.*receive\+.*leaked-goroutines\.test\.ts:\d+\n#.*lost\+/,
    );
    const dump = await profileText(rt, "goroutineleak", 2);
    expect(dump).toMatch(
      new RegExp(
        String.raw`^goroutine \d+ \[chan receive \(leaked\)\]:\n[^\n]*receive\(\.\.\.\)\n` +
          String.raw`\t[^\n]*leaked-goroutines\.test\.ts:\d+\n[^\n]*lost\(\.\.\.\)\n`,
      ),
    );
    expect(dump).toMatch(/goroutine \d+ \[chan receive\]:\n[^\n]*receive/);
    expect(held.trySend(1)).toBe(true);
    // The stack stays in the profile. The goroutine that has gone on is not in it.
    expect(await profileText(rt, "goroutineleak", 1)).toBe(grouped);
  });

  it("knows how a goroutine was labelled, and by whom it was started, without the option too", async () => {
    for (const leakDetection of [false, true]) {
      const rt = make({ leakDetection });
      await rt.main(function* () {
        rt.profiler.setGoroutineLabels({ job: "7" });
        (() => {
          rt.go(function* lost() {
            yield* rt.makeChan<number>().recv();
          });
        })();
        rt.profiler.setGoroutineLabels(null);
        yield* rt.gosched();
        const grouped = yield* rt.syscall(profileText(rt, "goroutineleak", 1));
        expect(grouped).toMatch(
          /^goroutineleak profile: total 1\n1 @ 0x\w+( 0x\w+){3}\n# labels: \{"job":"7"\}\n/,
        );
        const dump = yield* rt.syscall(profileText(rt, "goroutineleak", 2));
        expect(dump).toMatch(
          new RegExp(
            String.raw`^goroutine \d+ \[chan receive \(leaked\)\] \{job: 7\}:\n[^\n]*lost\(\.\.\.\)\n\t\S+:\d+\n` +
              String.raw`created by \S+ in goroutine 1\n\t\S+leaked-goroutines\.test\.ts:\d+\n\n`,
          ),
        );
      });
    }
  });
});

describe("a search for leaked goroutines", () => {
  it("finds all of them and no other, whatever happens to the others meanwhile", async () => {
    const rt = make();
    const held = rt.makeChan<number>();
    const mu = new Mutex();
    const done: string[] = [];
    rt.go(function* locks() {
      yield* mu.lock();
      yield* rt.sleep(60_000);
    });
    // Functions of their own: closures made in one scope keep all of its variables alive.
    const lose = () => {
      const c = rt.makeChan<number>();
      const d = rt.makeChan<number>();
      rt.go(function* loses() {
        yield* rt.select([recvCase(c), recvCase(d)]);
      });
    };
    const keep = () => {
      rt.go(function* keeps() {
        yield* held.recv();
        done.push("received");
      });
    };
    for (let i = 0; i < 300; i++) {
      lose();
      keep();
    }
    rt.go(function* forever() {
      yield* rt.select([]);
    });
    rt.go(function* waitsForLock() {
      yield* mu.lock();
    });
    rt.go(function* sleeps() {
      yield* rt.sleep(1);
      done.push("slept");
    });
    // Until all of them wait: only then can they be leaked.
    do await new Promise((r) => setTimeout(r, 1));
    while (done.length === 0 || (await profileText(rt, "goroutine", 2)).includes("[runnable]"));
    const leaks = rt.profiler.lookup("goroutineleak")!;
    const written = [
      profileText(rt, "goroutineleak", 1),
      profileText(rt, "goroutineleak", 2),
      leaks.encodeDelta(0.001),
    ];
    // The count has only the leaks that ended searches found.
    expect(leaks.count()).toBe(0);
    expect(rt.numGoroutine()).toBe(603);
    expect(rt.goroutineProfile(new Array(700).fill(null)).n).toBe(603);
    for (let i = 0; i < 100; i++) held.trySend(i);
    const [grouped, dump] = await Promise.all(written);
    expect(grouped).toMatch(/^goroutineleak profile: total 301\n300 @/);
    expect((dump as string).match(/^goroutine \d+ \[select \(leaked\)\]:\n\S*loses\(/gm)).toHaveLength(300);
    expect(dump).toMatch(/^goroutine \d+ \[select \(no cases\) \(leaked\)\]:\n\S*forever\(/m);
    expect(leaks.count()).toBe(301);
    for (let i = 0; i < 200; i++) expect(held.trySend(i)).toBe(true);
    for (let i = 0; i < 50 && done.length < 301; i++) await new Promise((r) => setTimeout(r, 2));
    expect(done).toHaveLength(301);
    expect(rt.numGoroutine()).toBe(2);
    // Those that are held are found once they are let go.
    expect(await profileText(rt, "goroutineleak", 1)).toMatch(/^goroutineleak profile: total 301\n/);
  });

  it("outlives the runtime it searches", async () => {
    const rt = make();
    rt.go(function* lost() {
      yield* rt.makeChan<number>().recv();
    });
    await new Promise((r) => setTimeout(r, 1));
    const written = profileText(rt, "goroutineleak", 1);
    await Promise.resolve();
    rt.close();
    expect(await written).toBe("goroutineleak profile: total 0\n");
  });

  it("says what it needs where a program cannot make V8 collect", async () => {
    const rt = make();
    const { gc } = globalThis as { gc?: () => void };
    vi.resetModules();
    const { GoroutineStacks, LeakedGoroutines } = await import("../src/profiles.ts");
    vi.stubGlobal("gc", undefined);
    vi.stubGlobal("process", undefined);
    try {
      const leaks = new LeakedGoroutines(rt, new GoroutineStacks(rt), false);
      await expect(leaks.prepare()).rejects.toThrow(
        "runtime: goroutineleak needs createRuntime({ leakDetection: true }) where a program cannot make V8 collect",
      );
    } finally {
      vi.unstubAllGlobals();
    }
    expect((globalThis as { gc?: () => void }).gc).toBe(gc);
  });
});
