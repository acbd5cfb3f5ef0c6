/** Runs V8's collector, for tests of objects that it finds dead. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
/** A full collection of V8's heap. */
export const collectHost = runInNewContext("gc") as () => void;

/**
 * A turn of the event loop. V8 calls FinalizationRegistries, and no longer keeps the objects alive that `deref` of a
 * WeakRef has returned.
 */
export const hostTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

/** Collects until `done()` is true. The timeout of the test is the limit. */
export async function collectHostUntil(done: () => boolean): Promise<void> {
  while (!done()) {
    await hostTurn();
    collectHost();
  }
}

/**
 * Drops the result of `make` after V8 has found its dead objects and before V8 has reported them. If the result has its
 * own FinalizationRegistry and V8 collects it here, V8 before Node 26 never calls a registry of the thread again.
 */
export async function dropWithReportsDue(make: () => object): Promise<void> {
  let due: object | null = make();
  // Goroutines of the result run here.
  await hostTurn();
  await hostTurn();
  collectHost();
  if (due !== null) due = null;
  collectHost();
  collectHost();
}
