import type { Given, OptionSpec } from "./options.ts";
import type { Screen } from "./screen.ts";

/** A program of the demo. */
export interface Program {
  name: string;
  /** Description in one line. */
  about: string;
  options: readonly OptionSpec[];
  /** Runs to the end, or until Ctrl-C. */
  run(given: Given, screen: Screen): Promise<void>;
}
