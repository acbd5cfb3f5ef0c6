/** What every conformance runner answers. */
export interface Result {
  passed: number;
  total: number;
  /** One line for each row that differs. */
  failures: string[];
}
