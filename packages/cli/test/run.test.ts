// The built command, as a user starts it. Its crash reports equal Go's wherever Go's text is fixed.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defaultProcs } from "../src/processors.ts";
import { bin, environment, gort, line, programs, readmeBlock, scratch, shell, temp } from "./kit.ts";

describe("gort run", () => {
  it("gives the program all words after FILE, also options, and exits with 0 when main returns", () => {
    expect(gort(["run", "args.ts", "a b", "--gogc", "7", "-x"])).toEqual({
      code: 0,
      out: '["a b","--gogc","7","-x"]\n',
      err: "",
    });
  });

  it("does not wait for timers of other goroutines or of the host", () => {
    // The timers take ten minutes: the test would kill gort.
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

  it("may use all processors of the machine or container by default, as in Go", () => {
    const procs = defaultProcs(availableParallelism());
    expect(JSON.parse(gort(["run", "settings.ts"]).out).procs).toBe(procs);
    expect(JSON.parse(gort(["run", "settings.ts"], { GOMAXPROCS: "x" }).out).procs).toBe(procs);
    expect(JSON.parse(gort(["run", "settings.ts"], { GOMAXPROCS: "1" }).out).procs).toBe(1);
    expect(JSON.parse(gort(["env", "--json"]).out).GOMAXPROCS).toBe(procs);
  });

  it("passes GOGC, GOMEMLIMIT and GOMAXPROCS to the runtime, from options before the environment", () => {
    const env = { GOGC: "70", GOMEMLIMIT: "512MiB", GOMAXPROCS: "3" };
    expect(JSON.parse(gort(["run", "settings.ts"], env).out)).toEqual({ gogc: 70, limit: 2 ** 29, procs: 3 });
    const flags = ["--gogc=off", "--gomemlimit", "1GiB", "--gomaxprocs", "2"];
    expect(JSON.parse(gort(["run", ...flags, "settings.ts"], env).out)).toEqual({
      gogc: -1,
      limit: 2 ** 30,
      procs: 2,
    });
  });

  it("enables tracing with --godebug, in addition to the switches of GODEBUG", () => {
    const { code, err } = gort(["run", "--godebug", "gctrace=1", "gctrace.ts"], { GODEBUG: "clobberfree=1" });
    expect(code).toBe(0);
    expect(err).toMatch(/^gc 1 @[\d.]+s \d+%: .*\(forced\)$/m);
  });
});

describe("a program that dies", () => {
  it("of a deadlock reports every goroutine's wait reason, TypeScript line and creation site, and exits with 2", () => {
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
    // The report is printed once, and the command adds no text.
    expect(err.match(/fatal error/g)).toHaveLength(1);
    expect(err).not.toContain("gort:");
    expect(err).not.toContain("bin.js");
  });

  it("that waits for a nil channel has a report, too", () => {
    const { code, err } = gort(["run", "nil-channel.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(
      /^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[chan receive \(nil chan\)\]:\n/,
    );
  });

  it("of a panic of the runtime has Go's message", () => {
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

  it("of an exhausted heap reports the size of the heap", () => {
    const { code, err } = gort(["run", "--max-memory", "64MiB", "out-of-memory.ts"]);
    expect(code).toBe(2);
    expect(err).toContain("fatal error: runtime: out of memory");
    expect(err).toMatch(/\d{7,}/);
  });

  it("of an exhausted heap while it is loaded reports the size, too", () => {
    writeFileSync(
      join(scratch, "oom.ts"),
      `import { makeSlice, uint8 } from "@gort/runtime";
      const kept = []; for (;;) kept.push(makeSlice(uint8, 1 << 23));`,
    );
    const { code, err } = gort(["run", "--max-memory", "64MiB", join(scratch, "oom.ts")]);
    expect(code).toBe(2);
    expect(err).toMatch(/\d{7,}[\s\S]*^fatal error: runtime: out of memory$/m);
  });

  it("shows control characters of names as text, and values as Go prints them", () => {
    const { code, err } = gort(["run", "evil-names.ts"]);
    expect(code).toBe(2);
    // Recorded from Go 1.27: Go adds a tab after a newline in a panic's value, and prints other characters unchanged.
    const [head, ...rest] = err.split("\n\n");
    expect(head).toBe("panic: a\n\tb\u001b[31mc\u202e");
    const report = rest.join("\n\n");
    expect(report).toContain("f\\x1b[2J\\nq\\u202e(...)");
    expect(report).toMatch(/^created by .*go\\x1b\]0;x\\x07/m);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the output must not contain them.
    expect(report).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  it("is reported even if the stack of its error cannot be read", () => {
    const { code, err } = gort(["run", "stack-throws.ts"]);
    expect([code, err]).toEqual([2, expect.stringMatching(/^panic: no stack\n\ngoroutine 1 \[running\]:\n/)]);
  });

  it("in a finalizer that throws reports the exception", () => {
    const { code, err } = gort(["run", "finalizer-throws.ts"]);
    expect(code).toBe(2);
    expect(err).toMatch(/^panic: .*last words/);
  });
});

describe("a program that cannot be run", () => {
  const message = (args: string[]) => {
    const { code, out, err } = gort(args);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^gort: /);
    return err;
  };

  it("is named in the error if it is missing, a directory or no module", () => {
    expect(message(["run", "missing.ts"])).toBe("gort: cannot open missing.ts: no such file\n");
    expect(message(["run", "."])).toContain("it is a directory");
    expect(message(["run", "syntax-error.ts.txt"])).toContain("not a JavaScript or TypeScript module");
    expect(message(["run"])).toBe("gort: run: no file given\n");
    const nowhere = join(scratch, "nowhere");
    const refused = gort(["run", "args.ts"], { TMPDIR: nowhere, TEMP: nowhere, TMP: nowhere });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(`gort: cannot make a folder in ${nowhere}`);
  });

  it("has its syntax errors shown with their places", () => {
    copyFileSync(join(programs, "syntax-error.ts.txt"), join(scratch, "syntax-error.ts"));
    expect(message(["run", join(scratch, "syntax-error.ts")])).toMatch(/syntax-error\.ts:\d+:\d+/);
  });

  it("gets a message that shows a main goroutine", () => {
    expect(message(["run", "no-default.ts"])).toContain(
      "has no default export to run as the main goroutine; write: export default function* main()",
    );
    expect(message(["run", "object-default.ts"])).toContain("is not a function but an object");
    expect(message(["run", "async-main.ts"])).toContain("is an async function, which can't be a goroutine");
  });

  it("ends with an error if an ordinary main returns a promise", () => {
    const { code, err } = gort(["run", "returns-promise.ts"]);
    expect(code).toBe(2);
    expect(err).toContain("returned a promise");
  });

  it("is reported with the TypeScript line of an exception at load time", () => {
    const err = message(["run", "throws-at-load.ts"]);
    expect(err).toContain("no port");
    expect(err).toContain(line("throws-at-load.ts", "throw new Error"));
  });

  it("ends with an error if its module awaits for ever", () => {
    expect(message(["run", "never-loads.ts"])).toContain("never finished loading");
  });
});

// Options of Node that forbid features on which the runtime might rely.
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

  it("is left to a program that listens for it", () => {
    expect(quit("handled")).toMatchObject({ code: 0, out: "handled\n", err: "" });
  });
});

describe("the folder of the bundle", () => {
  it("is gone after every run above", () => {
    expect(readdirSync(temp)).toEqual([]);
  });

  it("is gone before any code of the program runs, so no kind of end leaves it behind", async () => {
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

  it("keeps the line numbers of the program, also below a hashbang", () => {
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
