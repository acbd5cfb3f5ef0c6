/** V8's own collector, for tests of what happens when it finds objects of ours dead. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
/** A full collection of V8's heap. */
export const collectHost = runInNewContext("gc") as () => void;

/** A turn of the event loop: V8 calls FinalizationRegistries, and forgets which objects a WeakRef was asked for. */
export const hostTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

/** Collects until `done`, which must come about within the test's timeout. */
export async function collectHostUntil(done: () => boolean): Promise<void> {
  while (!done()) {
    await hostTurn();
    collectHost();
  }
}

/**
 * Drops what `make` returns when V8 has found its dead objects and has not yet reported them. If it has a
 * FinalizationRegistry of its own that is collected here, V8 before Node 26 calls no registry of the thread again.
 */
export async function dropWithReportsDue(make: () => object): Promise<void> {
  let due: object | null = make();
  // Goroutines of it run now.
  await hostTurn();
  await hostTurn();
  collectHost();
  if (due !== null) due = null;
  collectHost();
  collectHost();
}
