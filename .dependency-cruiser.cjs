// The arrows of the architecture: a package may import only what stands below it.
//
//   base                             (errors and helpers that every package may import)
//   memory <- allocator <- gc        memory <- types
//   scheduler, profiling, memstats   (need no heap, import no sibling but base)
//   threads                          (over memory, types and scheduler)
//   runtime                          (the facade: composes all of the above)
//   cli, apps, benchmarks            (the facade; benchmarks also name the layer they measure)
const own = (name) => `^packages/${name}/`;
const allowed = {
  base: [],
  memory: ["base"],
  allocator: ["base", "memory"],
  gc: ["base", "memory", "allocator"],
  types: ["base", "memory"],
  scheduler: ["base"],
  profiling: ["base"],
  memstats: ["base"],
  threads: ["base", "memory", "types", "scheduler"],
  runtime: ["base", "memory", "allocator", "gc", "types", "scheduler", "profiling", "memstats", "threads"],
  cli: ["base", "runtime"],
};
const layers = Object.entries(allowed).map(([name, below]) => ({
  name: `${name}-imports-only-below`,
  comment: `@gort/${name} may import ${below.length ? below.join(", ") : "no sibling"}`,
  severity: "error",
  from: { path: `${own(name)}src/` },
  to: { path: "^packages/", pathNot: [name, ...below].map(own) },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layers,
    {
      name: "apps-import-the-facade-only",
      severity: "error",
      from: { path: "^apps/[^/]+/(src|test)/" },
      to: { path: "^packages/", pathNot: own("runtime") },
    },
    {
      name: "siblings-by-package-name",
      comment: "another package is imported by its name, never by a relative path",
      severity: "error",
      from: { path: "^packages/([^/]+)/src/" },
      to: { path: "^packages/", pathNot: "^packages/$1/", dependencyTypes: ["local"] },
    },
    {
      name: "no-cycles",
      severity: "error",
      from: { path: "^packages/[^/]+/src/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "no-type-cycles-in-scheduler",
      comment: "records that refer to each other stand in runtime2.ts, and all other files import downwards",
      severity: "error",
      from: { path: `${own("scheduler")}src/` },
      to: { circular: true },
    },
    {
      name: "no-unresolvable",
      severity: "error",
      from: { path: "^packages/[^/]+/src/" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: ["node_modules", "/dist/"] },
    exclude: { path: ["/dist/", "/node_modules/", "/\\.vitepress/", "/\\.build/"] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      conditionNames: ["@gort/source", "import", "node", "default", "types"],
      exportsFields: ["exports"],
    },
  },
};
