/**
 * `@gort/runtime/pprof-tools`: reads, compares and shows profile files, of this runtime or of any other program.
 */
export { writeFileAtomically } from "@gort/profiling";
export * from "@gort/profiling/pprof";
