/**
 * The scavenger's line: every recorded sample is parsed with the recorded expression, its figures are given to our
 * formatter, and the text must come back. Printed figures are cut, so the values given are the least that print so.
 * Further, the lines of a heap here must match the expression and say what the statistics say.
 *
 * Not counted: the other lines, which other packages print; the note "[controller reset]", as there is no such
 * controller.
 */
import { createAllocator, newHeapStats } from "../src/index.ts";
import { formatScavTrace } from "../src/mgcscavenge.ts";
import { collectWith } from "../src/testing.ts";
import type { Result } from "./sizeclasses.ts";

interface Line {
  id: string;
  regexp: string;
  samples: string[];
}

type Groups = Record<string, string | undefined>;

function printed(g: Groups): string {
  const retained = 1 << 30;
  return formatScavTrace({
    background: Number(g.bg) * 1024,
    eager: Number(g.eager) * 1024,
    released: Number(g.now) * 1024,
    inUse: Math.ceil((Number(g.util) * retained) / 100),
    retained,
    forced: g.note === " (forced)",
  });
}

/** A line of a heap that has given something back, and the one its statistics ask for. */
function own(forced: boolean): [got: string, want: string] {
  const a = createAllocator({ maxMemory: 64 << 20 });
  const keep = a.mallocgc(5 << 20, 0, true);
  a.mem.kernel.fill(a.mallocgc(9 << 20, 0, true), 1, 9 << 20);
  collectWith(a, (p) => p === keep);
  const released = forced ? a.freeOSMemory() : 0;
  const line = a.scavenger.trace(forced);
  const st = a.readStats(newHeapStats());
  const util = Math.floor((st.heapInuse * 100) / (st.heapInuse + st.heapIdle - st.heapReleased));
  const note = forced ? " (forced)" : "";
  const work = `0 KiB work (bg), ${released / 1024} KiB work (eager)`;
  return [line, `scav ${work}, ${st.heapReleased / 1024} KiB now, ${util}% util${note}`];
}

export function run(vectors: { lines: Line[] }): Result {
  const result: Result = { passed: 0, total: 0, failures: [] };
  const check = (name: string, got: string, want: string): void => {
    result.total++;
    if (got === want) result.passed++;
    else result.failures.push(`${name}: ${got}, should be ${want}`);
  };
  const line = vectors.lines.find((l) => l.id === "scavtrace") as Line;
  const regexp = new RegExp(line.regexp);
  for (const sample of line.samples) check("sample", printed(regexp.exec(sample)?.groups ?? {}), sample);
  for (const forced of [false, true]) {
    const [got, want] = own(forced);
    check(`forced ${forced}`, got, want);
    check(got, String(regexp.test(got)), "true");
  }
  return result;
}
