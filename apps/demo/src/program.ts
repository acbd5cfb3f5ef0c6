import type { Given, OptionSpec } from "./options.ts";
import type { Screen } from "./screen.ts";

/** One entry of the demo's list. */
export interface Program {
  name: string;
  /** One line. */
  about: string;
  options: readonly OptionSpec[];
  /** Runs to the end, or until Ctrl-C. */
  run(given: Given, screen: Screen): Promise<void>;
}
