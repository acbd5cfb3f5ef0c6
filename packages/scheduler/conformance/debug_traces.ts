/**
 * Lines of schedtrace and scheddetail match Go's grammar. All other lines of the vectors belong to the collector and
 * the heap, and are skipped.
 */

import { createTestScheduler } from "../src/testing.ts";
import { check, newResult, type Result } from "./result.ts";

interface Line {
  id: string;
  regexp: string;
}

export function run(vectors: unknown): Result {
  const r = newResult();
  const lines = (vectors as { lines: Line[] }).lines.filter((l) => l.id.startsWith("sched"));
  for (const detail of [false, true]) {
    const s = createTestScheduler({
      gomaxprocs: 2,
      procs: { max: 2, why: "the recording has two" },
      godebug: `schedtrace=10${detail ? ",scheddetail=1" : ""}`,
    });
    s.runMain(function* () {
      const c = s.makeChan();
      for (let i = 0; i < 3; i++) {
        s.go(function* () {
          s.lockOSThread();
          yield* c.recv();
        });
      }
      yield* s.sleep(35);
    });
    const got = s.errors.join("").split("\n").slice(0, -1);
    const wanted = lines.filter((l) => l.id.startsWith("scheddetail") === detail);
    for (const l of wanted) {
      const matched = got.filter((text) => new RegExp(l.regexp).test(text)).length;
      // One line at the start, then one every 10 ms.
      check(r, `${l.id}: printed`, matched >= 4, true);
    }
    const any = wanted.map((l) => new RegExp(l.regexp));
    const strange = got.filter((text) => !any.some((re) => re.test(text)));
    if (wanted.length > 0)
      check(r, `${detail ? "scheddetail" : "schedtrace"}: nothing else printed`, strange, []);
  }
  return r;
}
