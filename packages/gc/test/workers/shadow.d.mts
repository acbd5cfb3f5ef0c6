import type { Allocator } from "@gort/allocator";
import type { Collector } from "../../src/index.ts";
import type { MiniWorld } from "./mini-world.d.mts";

type Random = (n: number) => number;

export class Shadow {
  constructor(of: { a: Allocator; gc: Collector; table: number; n: number; random: Random; thread: number });
  readonly foreign: number;
  verify(): number;
}
export function seeded(seed: number): Random;
export function play(
  shadow: Shadow,
  world: MiniWorld,
  gc: Collector,
  random: Random,
  changes: number,
): number;
