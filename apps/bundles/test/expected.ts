/** What the scenario `sums` prints after its first line. */
export const sums = ["sum 499500", "square 4", "square 5", "square 8", "end"];
