import { describe, expect, it } from "vitest";
import { createScheduler } from "../src/index.ts";
import { dumpOthers, Note } from "../src/internal.ts";
import { createTestScheduler } from "../src/testing.ts";
import { waitReasonFinalizerWait } from "../src/wait-reasons.ts";

describe("a note", () => {
  it("sleeps until it is woken, also in host code", async () => {
    const s = createScheduler();
    const note = new Note(s, waitReasonFinalizerWait);
    let woke = false;
    const slept = Promise.resolve(note.sleep()).then(() => {
      woke = true;
    });
    do await new Promise((r) => setImmediate(r));
    while (!s.isIdle);
    expect(woke).toBe(false);
    note.wakeup();
    await slept;
    expect(woke).toBe(true);
  });

  it("keeps a wakeup for the next sleep and shows its own wait reason", () => {
    const s = createTestScheduler();
    const note = new Note(s, waitReasonFinalizerWait);
    let woke = 0;
    s.goSystem(function* runFinalizers() {
      for (;;) {
        yield* note.sleep();
        woke++;
      }
    });
    note.wakeup();
    note.wakeup();
    s.run();
    expect(woke).toBe(1);
    note.wakeup();
    s.run();
    expect(woke).toBe(2);
    expect(dumpOthers(s, null, true)).toMatch(/\[finalizer wait\]:\nmain\.runFinalizers/);
  });
});
