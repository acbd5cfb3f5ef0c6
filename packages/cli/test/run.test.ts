// The built command, as a user starts it. What it prints about a crash is Go's, so far as Go's text is fixed.
import { spawn, spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const bin = fileURLToPath(new URL("../dist/bin.js", import.meta.url));
const programs = fileURLToPath(new URL("programs/", import.meta.url));
const scratch = mkdtempSync(join(realpathSync(tmpdir()), "gort-cli-"));
const temp = join(scratch, "tmp");
beforeAll(() => mkdirSync(temp));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The variables that steer a program are the test's to set. */
function environment(env: Record<string, string>): NodeJS.ProcessEnv {
  const { GOGC, GOMEMLIMIT, GOMAXPROCS, GODEBUG, GOTRACEBACK, NODE_OPTIONS, ...rest } = process.env;
  return { ...rest, TMPDIR: temp, TEMP: temp, TMP: temp, ...env };
}

function gort(args: string[], env: Record<string, string> = {}, cwd = programs) {
  const r = spawnSync(process.execPath, [bin, ...args], {
    encoding: "utf8",
    cwd,
    env: environment(env),
    timeout: 25_000,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

/** Line of `text` in a program, to find it again in a dump. */
function line(program: string, text: string): string {
  const at = readFileSync(join(programs, program), "utf8")
    .split("\n")
    .findIndex((l) => l.includes(text));
  return `${join(programs, program)}:${at + 1}`;
}

/** The README's ts block number `i`. */
function readmeBlock(i: number): string {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  return [...readme.matchAll(/```ts\n([\s\S]*?)```/g)][i][1];
}

describe("gort run", () => {
  it("gives the program what follows FILE, options included, and exits 0 when main returns", () => {
    expect(gort(["run", "args.ts", "a b", "--gogc", "7", "-x"])).toEqual({
      code: 0,
      out: '["a b","--gogc","7","-x"]\n',
      err: "",
    });
  });

  it("does not wait for timers of other goroutines or of the host", () => {
    // They are ten minutes long: gort would be killed.
    expect(gort(["run", "timers.ts"])).toEqual({ code: 0, out: "main is done\n", err: "" });
  });

  it("exits with process.exitCode when the program has set it", () => {
    expect(gort(["run", "exit-code.ts"]).code).toBe(7);
  });

  it("runs a file outside of any project, on the command's own runtime", () => {
    copyFileSync(join(programs, "timers.ts"), join(scratch, "alone.ts"));
    expect(gort(["run", "alone.ts"], {}, scratch)).toEqual({ code: 0, out: "main is done\n", err: "" });
  });

  it("runs the README's program", () => {
    writeFileSync(join(scratch, "hello.ts"), readmeBlock(0));
    const { code, out } = gort(["run", "hello.ts", "gopher", "world"], {}, scratch);
    expect([code, out.trim().split("\n").sort()]).toEqual([0, ["hello, gopher", "hello, world"]]);
  });

  it("hands GOGC, GOMEMLIMIT and GOMAXPROCS to the runtime, from options before the environment", () => {
    const env = { GOGC: "70", GOMEMLIMIT: "512MiB", GOMAXPROCS: "3" };
    expect(JSON.parse(gort(["run", "settings.ts"], env).out)).toEqual({ gogc: 70, limit: 2 ** 29, procs: 3 });
    const flags = ["--gogc=off", "--gomemlimit", "1GiB", "--gomaxprocs", "2"];
    expect(JSON.parse(gort(["run", ...flags, "settings.ts"], env).out)).toEqual({
      gogc: -1,
      limit: 2 ** 30,
      procs: 2,
    });
  });

  it("switches tracing on with --godebug, beside what GODEBUG says", () => {
    const { code, err } = gort(["run", "--godebug", "gctrace=1", "gctrace.ts"], { GODEBUG: "clobberfree=1" });
    expect(code).toBe(0);
    expect(err).toMatch(/^gc 1 @[\d.]+s \d+%: .*\(forced\)$/m);
  });
});

describe("a program that dies", () => {
  it("of a deadlock leaves every goroutine's wait reason, TypeScript line and creation site, and exit code 2", () => {
    const { code, out, err } = gort(["run", "deadlock.ts"]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(
      /^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[chan receive\]:\n/,
    );
    expect(err).toContain(line("deadlock.ts", "d.recv()"));
    expect(err).toMatch(/^goroutine \d+ \[chan send\]:$/m);
    expect(err).toContain(line("deadlock.ts", "c.send("));
    expect(err).toMatch(/^created by .* in goroutine 1$/m);
    expect(err).toContain(line("deadlock.ts", "go(waiter"));
    // Once, and nothing of the command's own.
    expect(err.match(/fatal error/g)).toHaveLength(1);
    expect(err).not.toContain("gort:");
    expect(err).not.toContain("bin.js");
  });

  it("waiting for a nil channel has a report too", () => {
    const { code, err } = gort(["run", "nil-channel.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(
      /^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[chan receive \(nil chan\)\]:\n/,
    );
  });

  it("of a panic by the runtime says so in Go's words", () => {
    const { code, err } = gort(["run", "panic-closed.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(/^panic: close of closed channel\n\ngoroutine 1 \[running\]:\n/);
    expect(err).toContain(line("panic-closed.ts", "c.close();\n}".split("\n")[0]).replace(/\d+$/, "8"));
    expect(err.match(/panic:/g)).toHaveLength(1);
  });

  it("of a panic with a value shows the value", () => {
    const { code, err } = gort(["run", "panic-value.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(/^panic: out of cheese\n\ngoroutine 1 \[running\]:\n/);
  });

  it("of an exception in any goroutine ends at once", () => {
    const { code, err } = gort(["run", "panic-throw.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(/^panic: .*colour Red/);
    expect(err).toMatch(/^goroutine [1-9]\d* \[running\]:$/m);
    expect(err).toContain(line("panic-throw.ts", "throw new Error"));
  });

  it("of an exhausted heap says how large it was", () => {
    const { code, err } = gort(["run", "--max-memory", "64MiB", "out-of-memory.ts"]);
    expect(code).toBe(2);
    expect(err).toContain("fatal error: runtime: out of memory");
    expect(err).toMatch(/\d{7,}/);
  });

  it("of an exhausted heap while it is loaded, too", () => {
    writeFileSync(
      join(scratch, "oom.ts"),
      'import { makeSlice, uint8 } from "@gort/runtime"; const kept = []; for (;;) kept.push(makeSlice(uint8, 1 << 23));',
    );
    const { code, err } = gort(["run", "--max-memory", "64MiB", join(scratch, "oom.ts")]);
    expect(code).toBe(2);
    expect(err).toMatch(/\d{7,}[\s\S]*^fatal error: runtime: out of memory$/m);
  });

  it("has no name in its report that acts on a terminal, and a value as Go prints it", () => {
    const { code, err } = gort(["run", "evil-names.ts"]);
    expect(code).toBe(2);
    // Recorded from Go 1.27: a newline in a panic's value is followed by a tab, all else is printed as it is.
    const [head, ...rest] = err.split("\n\n");
    expect(head).toBe("panic: a\n\tb\u001b[31mc\u202e");
    const report = rest.join("\n\n");
    expect(report).toContain("f\\x1b[2J\\nq\\u202e(...)");
    expect(report).toMatch(/^created by .*go\\x1b\]0;x\\x07/m);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there.
    expect(report).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  it("is reported though its error's stack can't be read", () => {
    const { code, err } = gort(["run", "stack-throws.ts"]);
    expect([code, err]).toEqual([2, expect.stringMatching(/^panic: no stack\n\ngoroutine 1 \[running\]:\n/)]);
  });

  it("in a finalizer that throws shows the exception", () => {
    const { code, err } = gort(["run", "finalizer-throws.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(/^panic: .*last words/);
  });
});

describe("a program that can't be run", () => {
  const message = (args: string[]) => {
    const { code, out, err } = gort(args);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^gort: /);
    return err;
  };

  it("is named when it is missing, a directory or no module", () => {
    expect(message(["run", "missing.ts"])).toBe("gort: cannot open missing.ts: no such file\n");
    expect(message(["run", "."])).toContain("it is a directory");
    expect(message(["run", "syntax-error.ts.txt"])).toContain("not a JavaScript or TypeScript module");
    expect(message(["run"])).toBe("gort: run: no file given\n");
    const nowhere = join(scratch, "nowhere");
    const refused = gort(["run", "args.ts"], { TMPDIR: nowhere, TEMP: nowhere, TMP: nowhere });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(`gort: cannot make a folder in ${nowhere}`);
  });

  it("gets its syntax errors shown with their place", () => {
    copyFileSync(join(programs, "syntax-error.ts.txt"), join(scratch, "syntax-error.ts"));
    expect(message(["run", join(scratch, "syntax-error.ts")])).toMatch(/syntax-error\.ts:\d+:\d+/);
  });

  it("is told what a main goroutine looks like", () => {
    expect(message(["run", "no-default.ts"])).toContain(
      "has no default export to run as the main goroutine; write: export default function* main()",
    );
    expect(message(["run", "object-default.ts"])).toContain("is not a function but an object");
    expect(message(["run", "async-main.ts"])).toContain("is an async function, which can't be a goroutine");
  });

  it("is not kept waiting for when an ordinary main returns a promise", () => {
    const { code, err } = gort(["run", "returns-promise.ts"]);
    expect(code).toBe(2);
    expect(err).toContain("returned a promise");
  });

  it("shows the TypeScript line of an exception at load time", () => {
    const err = message(["run", "throws-at-load.ts"]);
    expect(err).toContain("no port");
    expect(err).toContain(line("throws-at-load.ts", "throw new Error"));
  });

  it("ends when its module awaits for ever", () => {
    expect(message(["run", "never-loads.ts"])).toContain("never finished loading");
  });
});

/** Runs a line of a shell in which `$GORT` is the command; its status, and what it prints. */
function shell(script: string, env: Record<string, string> = {}) {
  const r = spawnSync("bash", ["-c", script], {
    encoding: "utf8",
    cwd: programs,
    env: environment({ ...env, GORT: `${process.execPath} ${bin}` }),
    timeout: 25_000,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

// What Go 1.27 does in each case is recorded beside it.
describe.skipIf(process.platform === "win32")("a stream that fails", () => {
  // go run prog | head -1: the program is killed by signal 13.
  it("ends a program by SIGPIPE when the reader of its output is gone", () => {
    const { out, err } = shell('$GORT run endless-output.ts | head -1; echo "$PIPESTATUS"');
    expect([out, err]).toEqual(["line 0\n141\n", ""]);
  });

  it("ends a program by SIGPIPE when the reader of its errors is gone", () => {
    const { out } = shell('$GORT run endless-output.ts stderr 2>&1 >/dev/null | head -1; echo "$PIPESTATUS"');
    expect(out).toBe("line 0\n141\n");
  });

  it("is the program's to handle once it listens for SIGPIPE", () => {
    const { out, err } = shell('$GORT run endless-output.ts handled | head -1; echo "$PIPESTATUS"');
    expect([out, err]).toEqual(["line 0\n0\n", "EPIPE\n"]);
  });

  it("keeps status 2 of a crash whose report goes nowhere", () => {
    expect(shell("$GORT run panic-value.ts 2>/dev/full").code).toBe(2);
    expect(shell("$GORT run panic-value.ts 2>&-").code).toBe(2);
    expect(shell("$GORT run deadlock.ts 2>/dev/full").code).toBe(2);
    const { out } = shell('exec 3>&1; { $GORT run panic-value.ts 2>&1 >/dev/null; echo "$?" >&3; } | true');
    expect(out).toBe("2\n");
  });

  it("does not end a program when the disk is full: its status counts", () => {
    expect(shell("$GORT run args.ts a >/dev/full")).toMatchObject({ code: 0, err: "" });
  });

  it("is reported where the output is the command's own", () => {
    const { code, err } = shell("$GORT version >/dev/full");
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^gort: cannot write to standard output: .*ENOSPC/),
    ]);
    expect(shell('$GORT pprof --help | true; echo "$PIPESTATUS"').out).toMatch(/^(?:141|0)\n$/);
  });
});

// Options of Node that take away what the runtime might rely on.
describe("a program under", () => {
  const options = [
    "--frozen-intrinsics",
    "--disable-proto=throw",
    "--disable-proto=delete",
    "--disallow-code-generation-from-strings",
  ];
  it.each(options)("%s runs, is profiled, and dies with its report", (option) => {
    const r = spawnSync(process.execPath, [option, bin, "run", "frozen.ts"], {
      encoding: "utf8",
      cwd: programs,
      env: environment({ GODEBUG: "allocfreetrace=1", NODE_NO_WARNINGS: "1" }),
      timeout: 25_000,
    });
    expect(JSON.parse(r.stdout)).toEqual({
      sum: 3,
      err: "ContextError: context deadline exceeded",
      line: Number(line("frozen.ts", "caller(0)").split(":").at(-1)),
      function: "main.main",
      dump: true,
    });
    expect(r.stderr).toContain(
      `panic: the end\n\ngoroutine 1 [running]:\nmain.main(...)\n\t${line("frozen.ts", "throw new Error")}`,
    );
    expect(r.status).toBe(2);
  });
});

describe.skipIf(process.platform === "win32")("SIGQUIT", () => {
  const quit = (...args: string[]) => shell(`$GORT run quit.ts ${args.join(" ")} & p=$!; wait $p; exit $?`);

  it("prints all goroutines and ends with status 2, as in Go", () => {
    const { code, err } = quit();
    expect(code).toBe(2);
    expect(err).toMatch(/^SIGQUIT: quit\n\ngoroutine 1 \[sleep\]:\nmain\.main\(\.\.\.\)\n/);
    expect(err).toContain(line("quit.ts", "yield* sleep(20_000)"));
    expect(err).toMatch(/^goroutine \d+ \[chan receive\]:$/m);
  });

  it("is the program's to handle once it listens for it", () => {
    expect(quit("handled")).toMatchObject({ code: 0, out: "handled\n", err: "" });
  });
});

describe("the folder of the bundle", () => {
  it("is gone after every one of the runs above", () => {
    expect(readdirSync(temp)).toEqual([]);
  });

  it("is gone before any code of the program runs, so that no kind of end leaves it behind", async () => {
    const file = join(scratch, "slow.ts");
    writeFileSync(
      file,
      "console.log('loading'); await new Promise((r) => setTimeout(r, 20_000)); export default function* main() {}",
    );
    const child = spawn(process.execPath, [bin, "run", file], {
      env: environment({}),
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(readdirSync(temp)).toEqual([]);
    child.kill("SIGKILL");
    const signal = await new Promise((resolve) => child.once("exit", (_, s) => resolve(s)));
    expect(signal).toBe("SIGKILL");
    expect(readdirSync(temp)).toEqual([]);
  });

  it("does not change the lines of the program, also below a hashbang", () => {
    const file = join(scratch, "hashbang.ts");
    writeFileSync(
      file,
      "#!/usr/bin/env -S gort run\nexport default function* main() {\n  throw new Error('there');\n}\n",
    );
    const { code, err } = gort(["run", file]);
    expect([code, err]).toEqual([2, expect.stringContaining(`${file}:3`)]);
  });

  it("is never beside the program", () => {
    const { files } = { files: readdirSync(programs) };
    expect(files.every((f) => /\.(ts|txt)$/.test(f))).toBe(true);
  });
});

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

  it("helps and prints its version under the names that others use", () => {
    expect(gort(["-v"]).out).toBe(gort(["version"]).out);
    expect(gort(["help"])).toEqual(gort(["--help"]));
    expect(gort(["-h"])).toEqual(gort(["--help"]));
    expect(gort(["help", "pprof"])).toEqual(gort(["pprof", "--help"]));
    expect(gort(["pprof", "-help"])).toEqual(gort(["pprof", "--help"]));
  });

  it("reads options as Go's flag package does", () => {
    const json = (...args: string[]) => JSON.parse(gort(["env", "--json", ...args]).out);
    expect(json("-gogc=50")).toMatchObject({ GOGC: 50 });
    // A value may begin with a dash, the last one counts, and lists add up.
    expect(json("--gogc", "-1", "--gomaxprocs=2", "--gomaxprocs=3")).toMatchObject({
      GOGC: "off",
      GOMAXPROCS: 3,
    });
    expect(json("--godebug", "gctrace=1", "--godebug", "gcstress=1").GODEBUG).toBe("gctrace=1,gcstress=1");
    // An empty list is a list, and doesn't take the word after it.
    expect(gort(["run", "--godebug=", "args.ts", "x"])).toEqual({ code: 0, out: '["x"]\n', err: "" });
    expect(gort(["run", "--godebug", "", "args.ts", "x"])).toEqual({ code: 0, out: '["x"]\n', err: "" });
    expect(gort(["run", "--", "args.ts", "--", "-x"]).out).toBe('["--","-x"]\n');
  });

  it("takes the environment as Go does where it makes no sense", () => {
    const json = (env: Record<string, string>) => JSON.parse(gort(["env", "--json"], env).out);
    // Recorded from Go 1.27: GOGC and GOMAXPROCS are passed over, numbers may have a plus sign.
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

  it("runs a program whatever is in GODEBUG", () => {
    // Go runs with -1 and then samples every allocation.
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

  it("shows who has set what: an option before the environment, and the default where that makes no sense", () => {
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
    expect(out).toMatch(/^GOGC +100 .*\(default: the variable makes no sense\)$/m);
    expect(out).toMatch(/^GOMAXPROCS +2 .*\(option\)$/m);
    expect(out).toMatch(/^GODEBUG +gctrace=1 .*\(environment\)$/m);
    expect(out).toMatch(/^GOTRACEBACK +all .*\(environment\)$/m);
  });

  it("helps with and without being asked, for all and for one command", () => {
    expect(gort([])).toMatchObject({ code: 0, err: "" });
    expect(gort(["--help"]).out).toContain("run <file>");
    expect(gort(["run", "--help"]).out).toContain("--gogc <percent>");
  });

  it("refuses what it does not know with exit code 1", () => {
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
