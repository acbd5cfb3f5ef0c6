import { describe, expect, it } from "vitest";
import { createTestScheduler, expectNoLeakedGoroutines } from "../src/testing.ts";

describe("expectNoLeakedGoroutines", () => {
  it("throws an error with a dump of the goroutines that are left", () => {
    const s = createTestScheduler();
    s.go(function* lost() {
      yield* s.makeChan().recv();
    });
    s.run();
    expect(() => expectNoLeakedGoroutines(s)).toThrow(
      /1 goroutines left\n\ngoroutine \d+ \[chan receive\]:\nmain\.lost/,
    );
    expect(() => expectNoLeakedGoroutines(s, 1)).not.toThrow();
  });
});

describe("virtual time", () => {
  it("moves only when the test moves it", () => {
    const s = createTestScheduler();
    const log: string[] = [];
    s.go(function* () {
      for (;;) {
        yield* s.sleep(10);
        log.push(`tick at ${s.clock.now()}`);
      }
    });
    s.run();
    expect(log).toEqual([]);
    s.advance(25);
    expect(log).toEqual(["tick at 10", "tick at 20"]);
    expect(s.clock.now()).toBe(25);
  });

  it("has a call that waits until all other goroutines wait", () => {
    const s = createTestScheduler();
    s.runMain(function* () {
      let n = 0;
      s.go(function* () {
        for (let i = 0; i < 5; i++) {
          n++;
          yield* s.gosched();
        }
        yield* s.sleep(100);
        n = 100;
      });
      yield* s.wait();
      expect(n).toBe(5);
      expect(s.clock.now()).toBe(0);
    });
  });

  it("has an error that says so when main waits for an event of the host", () => {
    const s = createTestScheduler();
    expect(() => s.runMain(() => s.syscall(new Promise(() => {})))).toThrow(
      /waits for something outside of virtual time\n\ngoroutine 1 \[syscall\]/,
    );
    s.close();
  });
});
