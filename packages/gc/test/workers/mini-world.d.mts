import type { LinearMemory } from "@gort/memory";
import type { Collector, World } from "../../src/index.ts";

export const WORLD_BYTES: number;
export class MiniWorld {
  constructor(mem: LinearMemory, base: number, id: number, procs: number);
  gc: Collector | null;
  readonly maxStopMs: number;
  enter(): void;
  leave(): void;
  poll(): void;
  world(): World;
}
