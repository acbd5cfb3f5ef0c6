// sql.js has no types of its own. Only what is used here.
declare module "sql.js" {
  export default function initSqlJs(): Promise<{
    _malloc(size: number): number;
    _free(p: number): void;
  }>;
}
