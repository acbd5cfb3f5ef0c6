// sql.js: SQLite compiled by emscripten, which exports emscripten's malloc and free: dlmalloc, as its build names no other.
// Nothing of SQLite runs.
import initSqlJs from "sql.js";
import { manualCases } from "../cases/manual.ts";

const { _malloc, _free } = await initSqlJs();

export const cases = manualCases(_malloc, _free);
