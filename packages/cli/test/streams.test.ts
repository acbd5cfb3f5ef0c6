import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { shell, temp } from "./kit.ts";

// The comments say what Go 1.27 does in each case.
describe.skipIf(process.platform === "win32")("a stream that fails", () => {
  // go run prog | head -1: the program is killed by signal 13.
  it("ends a program by SIGPIPE if the reader of its output is gone", () => {
    const { out, err } = shell('$GORT run endless-output.ts | head -1; echo "$PIPESTATUS"');
    expect([out, err]).toEqual(["line 0\n141\n", ""]);
  });

  it("ends a program by SIGPIPE if the reader of its standard error is gone", () => {
    const { out } = shell('$GORT run endless-output.ts stderr 2>&1 >/dev/null | head -1; echo "$PIPESTATUS"');
    expect(out).toBe("line 0\n141\n");
  });

  it("leaves SIGPIPE to a program that listens for it", () => {
    const { out, err } = shell('$GORT run endless-output.ts handled | head -1; echo "$PIPESTATUS"');
    expect([out, err]).toEqual(["line 0\n0\n", "EPIPE\n"]);
  });

  it("keeps status 2 of a crash whose report cannot be written", () => {
    expect(shell("$GORT run panic-value.ts 2>/dev/full").code).toBe(2);
    expect(shell("$GORT run panic-value.ts 2>&-").code).toBe(2);
    expect(shell("$GORT run deadlock.ts 2>/dev/full").code).toBe(2);
    const { out } = shell('exec 3>&1; { $GORT run panic-value.ts 2>&1 >/dev/null; echo "$?" >&3; } | true');
    expect(out).toBe("2\n");
  });

  it("does not end a program if the disk is full: the program's status counts", () => {
    expect(shell("$GORT run args.ts a >/dev/full")).toMatchObject({ code: 0, err: "" });
  });

  it("is reported if the output is the command's own", () => {
    const { code, err } = shell("$GORT version >/dev/full");
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^gort: cannot write to standard output: .*ENOSPC/),
    ]);
    expect(shell('$GORT pprof --help | true; echo "$PIPESTATUS"').out).toMatch(/^(?:141|0)\n$/);
  });

  it("leaves no folder of a bundle behind", () => {
    expect(readdirSync(temp)).toEqual([]);
  });
});
