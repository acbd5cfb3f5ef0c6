/** A slice of sweeping in the background. */
import type { Clock } from "./clock.ts";
import { SLICE_NS } from "./mark-slices.ts";
import type { Sweeper } from "./mgcsweep.ts";

/** Spans swept in the background between two readings of the clock. */
const SWEEP_BATCH = 256;

/**
 * Sweeps for the time of a slice, unless nothing is left or another thread wants this one to stop. To sweep the whole
 * heap takes a hundredth of the time of marking it, so no share limits the sweep.
 */
export function sweepSlice(sweeper: Sweeper, clock: Clock, interrupted: () => boolean): void {
  const from = clock.nanotime();
  do {
    for (let i = 0; i < SWEEP_BATCH; i++) if (sweeper.sweepOne() < 0) return;
  } while (clock.nanotime() - from < SLICE_NS && !interrupted());
}
