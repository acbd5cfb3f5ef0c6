/** The program `finalizers`: the finalizer of each object makes the next object. */
import { type Chan, createRuntime, int, memStatsJSON, type Runtime, recvCase, struct } from "@gort/runtime";
import { interrupted } from "../interrupt.ts";
import { numberOption } from "../options.ts";
import type { Program } from "../program.ts";

export const finalizersProgram: Program = {
  name: "finalizers",
  about: "An object whose finalizer prints the MemStats and makes the next such object",
  options: [
    { flags: "--every <sec>", about: "Between forced collections (10)" },
    { flags: "--count <n>", about: "Finalizers to run; 0 until Ctrl-C (3)" },
  ],
  async run(given, screen) {
    const every = numberOption(given, "every", 10, 0.001);
    const count = numberOption(given, "count", 3, 0, true) || Number.POSITIVE_INFINITY;
    const rt = createRuntime();
    const stop = rt.makeChan<never>();
    const signal = interrupted(() => stop.close());
    try {
      await rt.main(function* main() {
        const ran = rt.makeChan<number>(1);
        makeNext(rt, 1, ran, (json) => screen.row(json));
        for (let n = 0; n < count; ) {
          const tick = rt.after(every * 1000);
          const { index } = yield* rt.select([recvCase(stop), recvCase(tick)]);
          if (index === 0) return;
          rt.gc();
          n = (yield* ran.recv()) as number;
          screen.note(`finalizer ${n} has run`);
        }
      });
      screen.note(rt.summary());
    } finally {
      signal.dispose();
      rt.close();
    }
  },
};

/** 16 bytes. Smaller objects share a block of the tiny allocator, so one would keep the others alive. */
const Link = struct("Link", { number: int, milliseconds: int });

/** Makes an object that nothing refers to. Its finalizer prints, makes the next one, and sends its number to `ran`. */
function makeNext(rt: Runtime, number: number, ran: Chan<number>, print: (json: string) => void): void {
  const link = rt.newObject(Link);
  link.number = number;
  link.milliseconds = Math.round(performance.now());
  rt.setFinalizer(link, (dead) => {
    print(memStatsJSON(rt.readMemStats(), "\t"));
    makeNext(rt, dead.number + 1, ran, print);
    ran.trySend(dead.number);
  });
  link.release();
}
