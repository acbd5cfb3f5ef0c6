/** Helpers that several test files use. */
import { crashReport, type Scheduler } from "../src/index.ts";
import { createTestScheduler, type TestScheduler, verifyScheduler } from "../src/testing.ts";

/** Runs `f` as the main goroutine in virtual time, and verifies the scheduler at its end. */
export function run<T>(f: (s: TestScheduler) => Generator<undefined, T, unknown> | T): T {
  const s = createTestScheduler();
  const result = s.runMain(() => f(s));
  verifyScheduler(s);
  return result;
}

/** The crash report of `f`, run as the main goroutine, up to its first stack; "" if `f` does not crash. */
export function report(f: () => unknown): string {
  try {
    createTestScheduler().runMain(f);
  } catch (e) {
    return crashReport(e)!.text.split("\n\n")[0];
  }
  return "";
}

/** A value that the types refuse, as a caller in JavaScript may pass it. */
export const untyped = (value: unknown): never => value as never;

/** A later turn of the event loop. */
export const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

/** Waits until no goroutine can run. On a busy machine a timer may fire before the first slice. */
export async function settled(s: Scheduler): Promise<void> {
  do await turn();
  while (!s.isIdle);
}
