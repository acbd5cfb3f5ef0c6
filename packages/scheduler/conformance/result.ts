export interface Result {
  passed: number;
  total: number;
  failures: string[];
}

export function newResult(): Result {
  return { passed: 0, total: 0, failures: [] };
}

/** Counts one vector; `got` and `want` are compared as JSON. */
export function check(r: Result, name: string, got: unknown, want: unknown): void {
  r.total++;
  const g = JSON.stringify(got);
  const w = JSON.stringify(want);
  if (g === w) r.passed++;
  else r.failures.push(`${name}: got ${g}, want ${w}`);
}
