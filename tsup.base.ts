import type { Options } from "tsup";

/**
 * How every package is built: ESM only, declarations and source maps beside the code, one shared
 * chunk for what the entries have in common (module state must exist once).
 */
export function library(entry: Record<string, string>, more: Options = {}): Options {
  return {
    entry,
    format: ["esm"],
    dts: true,
    sourcemap: true,
    clean: true,
    splitting: true,
    target: "es2022",
    platform: "neutral",
    ...more,
  };
}
