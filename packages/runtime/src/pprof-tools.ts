/**
 * `@gort/runtime/pprof-tools`: reading, comparing and showing profile files, of this runtime or of anybody else.
 */
export { writeFileAtomically } from "@gort/profiling";
export * from "@gort/profiling/pprof";
