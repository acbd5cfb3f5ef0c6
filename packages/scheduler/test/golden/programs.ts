/**
 * The Go programs of this folder, written with this package. Each gets a `println` that collects its output, which must
 * equal the NAME.txt that Go printed (GOMAXPROCS=1).
 */

import { channelPrograms } from "./channel-programs.ts";
import { panicPrograms } from "./panic-programs.ts";
import { powerSeries } from "./power-series.ts";
import type { Program } from "./program.ts";
import { syncPrograms } from "./sync-programs.ts";
import { timerPrograms } from "./timer-programs.ts";

export const programs: Record<string, Program> = {
  ...panicPrograms,
  ...syncPrograms,
  ...powerSeries,
  ...timerPrograms,
  ...channelPrograms,
};
