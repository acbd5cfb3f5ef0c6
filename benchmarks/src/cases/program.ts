import type { Case } from "../child.ts";

/** Runs a whole program n times. The check is the sum of its results. */
export function program(run: () => number): Case {
  return (n) => () => {
    let total = 0;
    for (let i = 0; i < n; i++) total += run();
    return String(total);
  };
}
