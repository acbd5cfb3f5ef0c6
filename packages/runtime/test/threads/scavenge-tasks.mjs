// Tasks that allocate much, and free it.
import { makeSlice, sleep, task, uint8 } from "@gort/runtime";
import { freeOSMemory } from "@gort/runtime/debug";

const { url } = import.meta;
const MIB = 1 << 20;

function free(mib) {
  const held = Array.from({ length: mib }, () => makeSlice(uint8, MIB));
  for (const s of held) s.release();
}

/** Frees so many MiB. Then it allocates, and frees, until another value than 1 is in `state`. */
export const spike = task(url, function* spike(mib, state) {
  free(mib);
  for (state.set(0, 1); state.get(0) === 1; ) {
    free(1);
    yield* sleep(1);
  }
  state.set(0, 3);
});

/** Returns what it has freed to the operating system. */
export const freeAll = task(url, function* freeAll(mib, state) {
  free(mib);
  freeOSMemory();
  state.set(0, 3);
});
