// Statistics and stacks: the twin of go/insight.go.
import { newMemStats, type Runtime } from "@gort/runtime";
import type { Case } from "../child.ts";

const liveObjects = 100_000;

export function insightCases(rt: Runtime): Record<string, Case> {
  return {
    ReadMemStats: (n) => {
      const { unsafe } = rt;
      const node32 = unsafe.newType(32, [0, 1]);
      const head = unsafe.newRoot();
      for (let i = 0; i < liveObjects; i++) {
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
    },

    Caller: (n) => () => {
      let lines = 0;
      for (let i = 0; i < n; i++) {
        const { file, line, ok } = rt.caller(0);
        if (ok && line > 0 && /\.[jt]s$/.test(file)) lines++;
      }
      return String(lines);
    },
  };
}
