import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { goSide } from "../src/sides.ts";
import { select } from "../src/suite.ts";

const [caller] = select("^Caller$");

// A stand-in for the go command: "go version" answers, "go build -trimpath -o FILE ." writes a program that
// answers like Go's side and repeats what it was started with.
const fakeGo = `#!/bin/sh
case "$1" in
version) echo "go version go9.9 fake/$FAKE_ANSWER" ;;
build)
  printf '#!/bin/sh\\necho "{\\\\"name\\\\":\\\\"%s\\\\",\\\\"samples\\\\":[%s],\\\\"check\\\\":\\\\"$* P=$GOMAXPROCS GC=$GOGC\\\\"}"\\n' "$FAKE_NAME" "$FAKE_ANSWER" > "$4"
  chmod +x "$4" ;;
esac
`;

// The stand-in is a shell script, which Windows does not run.
describe.skipIf(process.platform === "win32")("Go's side", () => {
  const dir = mkdtempSync(join(tmpdir(), "sides-"));
  const go = join(dir, "go");
  writeFileSync(go, fakeGo);
  chmodSync(go, 0o755);
  afterAll(() => rmSync(dir, { recursive: true }));
  afterEach(() => vi.unstubAllEnvs());

  it("is compiled once and measured with one processor and no collector tuning", async () => {
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

  it("refuses an answer about something else", async () => {
    vi.stubEnv("GO", go);
    vi.stubEnv("FAKE_NAME", "Gosched");
    vi.stubEnv("FAKE_ANSWER", "1");
    await expect((await goSide(dir))!.measure(caller, 20)).rejects.toThrow("Caller: unexpected answer");
  });

  it("is absent without a toolchain, but a GO that cannot be run is an error", async () => {
    vi.stubEnv("GO", "");
    vi.stubEnv("PATH", join(dir, "empty"));
    expect(await goSide(dir)).toBeNull();
    vi.stubEnv("GO", join(dir, "none"));
    await expect(goSide(dir)).rejects.toThrow(/GO=.*none cannot be run/);
  });
});
