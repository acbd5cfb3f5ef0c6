import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { goSide } from "../src/sides.ts";
import { select } from "../src/suite.ts";

const [caller] = select("^Caller$");

// A stand-in for the go command. "go version" answers. "go build -trimpath -o FILE ." writes a program that answers
// like Go's side; its check repeats its arguments and environment.
const FAKE_GO = `#!/bin/sh
case "$1" in
version) echo "go version go9.9 fake/$FAKE_ANSWER" ;;
build)
  format='#!/bin/sh\\necho "{\\\\"name\\\\":\\\\"%s\\\\",\\\\"samples\\\\":[%s],'
  format="$format"'\\\\"check\\\\":\\\\"$* P=$GOMAXPROCS GC=$GOGC\\\\"}"\\n'
  printf "$format" "$FAKE_NAME" "$FAKE_ANSWER" > "$4"
  chmod +x "$4" ;;
esac
`;

// The stand-in is a shell script, which Windows does not run.
describe.skipIf(process.platform === "win32")("Go's side", () => {
  const dir = mkdtempSync(join(tmpdir(), "sides-"));
  const go = join(dir, "go");
  writeFileSync(go, FAKE_GO);
  chmodSync(go, 0o755);
  afterAll(() => rmSync(dir, { recursive: true }));
  afterEach(() => vi.unstubAllEnvs());

  it("is compiled once, and measured on one processor without tuning of the collector", async () => {
    vi.stubEnv("GO", go);
    vi.stubEnv("FAKE_NAME", "Caller");
    vi.stubEnv("FAKE_ANSWER", "200,210");
    vi.stubEnv("GOGC", "off");
    const side = await goSide(dir);
    expect(side?.version).toBe("go9.9 fake/200,210");
    expect(await side!.measure(caller, 20)).toEqual({
      name: "Caller",
      samples: [200, 210],
      check: "-bench Caller -n 20 -warmup 3 -samples 5 P=1 GC=",
    });
  });

  it("refuses the answer of another benchmark", async () => {
    vi.stubEnv("GO", go);
    vi.stubEnv("FAKE_NAME", "Gosched");
    vi.stubEnv("FAKE_ANSWER", "1");
    await expect((await goSide(dir))!.measure(caller, 20)).rejects.toThrow("Caller: unexpected answer");
  });

  it("is null without a toolchain; if GO is set and cannot be run, it throws", async () => {
    vi.stubEnv("GO", "");
    vi.stubEnv("PATH", join(dir, "empty"));
    expect(await goSide(dir)).toBeNull();
    vi.stubEnv("GO", join(dir, "none"));
    await expect(goSide(dir)).rejects.toThrow(/GO=.*none cannot be run/);
  });
});
