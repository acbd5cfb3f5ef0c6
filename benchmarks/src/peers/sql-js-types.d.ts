// sql.js has no types of its own. These are the functions that the benchmarks use.
declare module "sql.js" {
  export default function initSqlJs(): Promise<{
    _malloc(size: number): number;
    _free(p: number): void;
  }>;
}
