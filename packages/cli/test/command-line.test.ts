import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { environment, gort, readmeBlock, scratch } from "./kit.ts";

describe("the command as a function", () => {
  it("works as the README says", () => {
    const dist = new URL("../dist/index.js", import.meta.url).href;
    writeFileSync(join(scratch, "example.mjs"), readmeBlock(1).replace("@gort/cli", dist));
    const { status, stderr } = spawnSync(process.execPath, [join(scratch, "example.mjs")], {
      encoding: "utf8",
      env: environment({}),
    });
    expect([status, stderr]).toEqual([0, ""]);
  });
});

describe("gort", () => {
  const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

  it("prints its version", () => {
    const { code, out } = gort(["version"]);
    expect(code).toBe(0);
    expect(out).toMatch(
      new RegExp(`^gort version ${version.replaceAll(".", "\\.")} \\(runtime .+\\) \\w+/\\w+ node v\\d+`),
    );
    expect(gort(["--version"]).out).toBe(out);
  });

  it("prints help and version also under the usual names of other commands", () => {
    expect(gort(["-v"]).out).toBe(gort(["version"]).out);
    expect(gort(["help"])).toEqual(gort(["--help"]));
    expect(gort(["-h"])).toEqual(gort(["--help"]));
    expect(gort(["help", "pprof"])).toEqual(gort(["pprof", "--help"]));
    expect(gort(["pprof", "-help"])).toEqual(gort(["pprof", "--help"]));
  });

  it("reads options as Go's flag package does", () => {
    const json = (...args: string[]) => JSON.parse(gort(["env", "--json", ...args]).out);
    expect(json("-gogc=50")).toMatchObject({ GOGC: 50 });
    // A value may begin with a dash, the last value counts, and lists add up.
    expect(json("--gogc", "-1", "--gomaxprocs=2", "--gomaxprocs=3")).toMatchObject({
      GOGC: "off",
      GOMAXPROCS: 3,
    });
    expect(json("--godebug", "gctrace=1", "--godebug", "gcstress=1").GODEBUG).toBe("gctrace=1,gcstress=1");
    // An empty list is a value, so the next word is no value.
    expect(gort(["run", "--godebug=", "args.ts", "x"])).toEqual({ code: 0, out: '["x"]\n', err: "" });
    expect(gort(["run", "--godebug", "", "args.ts", "x"])).toEqual({ code: 0, out: '["x"]\n', err: "" });
    expect(gort(["run", "--", "args.ts", "--", "-x"]).out).toBe('["--","-x"]\n');
  });

  it("ignores invalid variables of the environment as Go does", () => {
    const json = (env: Record<string, string>) => JSON.parse(gort(["env", "--json"], env).out);
    // Recorded from Go 1.27: invalid GOGC and GOMAXPROCS are ignored; numbers may have a plus sign.
    for (const GOGC of ["x", "1.5", " 50", "99999999999", "2147483648", "OFF", ""]) {
      expect(json({ GOGC }).GOGC, GOGC).toBe(100);
    }
    expect([json({ GOGC: "+50" }).GOGC, json({ GOGC: "0" }).GOGC, json({ GOGC: "-5" }).GOGC]).toEqual([
      50,
      0,
      "off",
    ]);
    const procs = json({}).GOMAXPROCS;
    for (const GOMAXPROCS of ["0", "-1", "x", "1.5", ""]) expect(json({ GOMAXPROCS }).GOMAXPROCS).toBe(procs);
    expect(json({ GOMAXPROCS: "+3" }).GOMAXPROCS).toBe(3);
    expect([json({ GOMEMLIMIT: "+5" }).GOMEMLIMIT, json({ GOMEMLIMIT: "0" }).GOMEMLIMIT]).toEqual([5, 0]);
  });

  it("runs a program with any text in GODEBUG", () => {
    // Go accepts -1 and then samples every allocation.
    for (const rate of ["-1", "1.5", "x", "", `1${"0".repeat(400)}`]) {
      const { code, out } = gort(["run", "args.ts"], { GODEBUG: `memprofilerate=${rate}` });
      expect([code, out], rate).toEqual([0, "[]\n"]);
    }
    const { code, out } = gort(["run", "args.ts"], { GODEBUG: ",,=,=1,gctrace,__proto__=1,toString=2" });
    expect([code, out]).toEqual([0, "[]\n"]);
  });

  it("prints the environment as a table and as JSON", () => {
    const env = { GOGC: "50", GOMAXPROCS: "2", GODEBUG: "gctrace=0" };
    const { code, out } = gort(["env"], env);
    expect(code).toBe(0);
    expect(out).toMatch(/^GOGC +50\b/m);
    const json = JSON.parse(gort(["env", "--json", "--gogc", "off"], env).out);
    expect(json).toMatchObject({
      GOGC: "off",
      GOMEMLIMIT: "off",
      GOMAXPROCS: 2,
      GODEBUG: "gctrace=0",
      node: process.version,
      shared: true,
    });
    expect(json.NumCPU).toBeGreaterThanOrEqual(1);
    expect(json.reservedBytes).toBeGreaterThanOrEqual(64 * 2 ** 20);
    expect(typeof json.releasesMemory).toBe("boolean");
  });

  it("shows what set each value: an option, the environment, or the default if the variable is invalid", () => {
    const env = { GOGC: "banana", GOMEMLIMIT: "1MB", GOMAXPROCS: "3", GODEBUG: "gctrace=1,gctrase=1" };
    const first = gort(["env", "--json", "--godebug", "gctrace=2,clobberfree=1"], env);
    expect(first.err).toContain('GODEBUG: unknown switch "gctrase" is ignored');
    expect(first.err).toContain("malformed GOMEMLIMIT");
    expect(JSON.parse(first.out)).toMatchObject({
      GOGC: 100,
      GOMEMLIMIT: "off",
      GOMAXPROCS: 3,
      GODEBUG: "gctrace=2,clobberfree=1",
      GOTRACEBACK: "single",
      sources: {
        GOGC: "ignored",
        GOMEMLIMIT: "ignored",
        GOMAXPROCS: "environment",
        GODEBUG: "environment, option",
        GOTRACEBACK: "default",
      },
    });
    const { out } = gort(["env", "--gomaxprocs", "2"], { ...env, GOTRACEBACK: "all" });
    expect(out).toMatch(/^GOGC +100 .*\(default: the value of the variable is invalid\)$/m);
    expect(out).toMatch(/^GOMAXPROCS +2 .*\(option\)$/m);
    expect(out).toMatch(/^GODEBUG +gctrace=1 .*\(environment\)$/m);
    expect(out).toMatch(/^GOTRACEBACK +all .*\(environment\)$/m);
  });

  it("prints help for all and for one command, also without a command", () => {
    expect(gort([])).toMatchObject({ code: 0, err: "" });
    expect(gort(["--help"]).out).toContain("run <file>");
    expect(gort(["run", "--help"]).out).toContain("--gogc <percent>");
  });

  it("refuses unknown commands and options with exit code 1", () => {
    const refused = (...args: string[]) => {
      const { code, out, err } = gort(args);
      expect([code, out]).toEqual([1, ""]);
      return err;
    };
    expect(refused("build")).toBe("gort: unknown command \"build\". Run 'gort --help' for usage\n");
    expect(refused("run", "--fast", "args.ts")).toContain("unknown option --fast");
    expect(refused("--fast")).toContain("unknown option --fast");
    expect(refused("env", "extra")).toContain("unexpected arguments");
    expect(refused("version", "extra")).toContain("unexpected arguments");
    expect(refused("help", "build")).toContain('unknown command "build"');
    for (const option of ["--__proto__=1", "--constructor", "--toString=x", "-", "--=1", "-vv"]) {
      expect(refused("env", option)).toMatch(/unknown option|unexpected arguments/);
      expect(refused(option)).toMatch(/unknown option|unknown command/);
    }
    expect(refused("env", "--json=yes")).toContain('--json takes no value (got "yes")');
    expect(refused("run", "--gogc")).toContain("--gogc needs a value, --gogc <percent>");
    expect(refused("run", "--gogc=", "args.ts")).toContain("--gogc needs a value");
    expect(refused("run", "--gogc", "99999999999", "args.ts")).toContain("must be a percentage");
    expect(refused("run", "--gomaxprocs", "99999999999", "args.ts")).toContain("must be a whole number");
    expect(refused("run", "--gogc", "ten", "args.ts")).toContain(
      '--gogc must be a percentage or off (got "ten")',
    );
    expect(refused("run", "--gomaxprocs", "0", "args.ts")).toContain(
      "--gomaxprocs must be a whole number from 1",
    );
    expect(refused("run", "--max-memory", "1GB", "args.ts")).toContain(
      "--max-memory must be a size such as 512MiB",
    );
  });
});
