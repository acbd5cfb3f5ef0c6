// sql.js is SQLite compiled by emscripten. It exports emscripten's malloc and free: dlmalloc, because its build names
// no other allocator. Nothing of SQLite runs.
import initSqlJs from "sql.js";
import { manualCases } from "../cases/manual.ts";

const { _malloc, _free } = await initSqlJs();

export const cases = manualCases(_malloc, _free);
