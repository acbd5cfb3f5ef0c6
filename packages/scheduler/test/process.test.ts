import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";

/** Programs that run in a process of their own: what keeps it alive, and how it ends. */

const dir = mkdtempSync(join(tmpdir(), "gort-scheduler-"));

beforeAll(async () => {
  await build({
    entryPoints: [fileURLToPath(new URL("../src/index.ts", import.meta.url))],
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    outfile: join(dir, "scheduler.mjs"),
  });
});

let n = 0;
function node(source: string, ...flags: string[]): Promise<{ code: number; out: string; err: string }> {
  const file = join(dir, `program${n++}.mjs`);
  writeFileSync(file, `import * as g from "./scheduler.mjs";\n${source}`);
  return new Promise((resolve) => {
    execFile(process.execPath, [...flags, file], { timeout: 20_000 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 99;
      resolve({ code, out, err });
    });
  });
}

describe("the process", () => {
  it("lives while a goroutine sleeps and ends when none is left", async () => {
    const r = await node(`
      g.go(function* () { yield* g.sleep(50); console.log("woke"); });
    `);
    expect([r.code, r.out]).toEqual([0, "woke\n"]);
  });

  it("ends when goroutines wait for what cannot come, without main", async () => {
    const r = await node(`
      g.go(function* () { yield* g.recv(null); });
      g.defaultScheduler().goSystem(function* () { for (;;) yield* g.sleep(1000); });
      g.newTicker(5);
      console.log("started");
    `);
    expect([r.code, r.out]).toEqual([0, "started\n"]);
  });

  it("dies of a panic in a goroutine started without main", async () => {
    const r = await node(`
      g.go(function* faulty() { yield* g.gosched(); g.panic("out of luck"); });
      setTimeout(() => console.log("never"), 500);
    `);
    expect(r.code).toBe(1);
    expect(r.out).toBe("");
    expect(r.err).toMatch(/^panic: out of luck\n\ngoroutine \d+ \[running\]:\n/);
  });

  it("finds a deadlock for certain when nothing else is left to happen", async () => {
    const r = await node(`
      setTimeout(() => {}, 300);
      const t = performance.now();
      await g.main(function* () {
        setTimeout(() => {}, 600);
        yield* g.recv(null);
      }).catch((e) => console.log(e.message, performance.now() - t > 250));
    `);
    expect([r.code, r.out]).toEqual([0, "all goroutines are asleep - deadlock! true\n"]);
  });

  it("prints all goroutines on SIGQUIT and ends with status 2", async () => {
    const r = await node(`
      g.dumpOnSigquit(g.defaultScheduler());
      g.go(function* waiter() { yield* g.recv(null); });
      g.go(function* () { yield* g.sleep(20); process.kill(process.pid, "SIGQUIT"); yield* g.sleep(10000); });
    `);
    expect(r.code).toBe(2);
    expect(r.err).toMatch(/^SIGQUIT: quit\n\ngoroutine \d+ \[chan receive \(nil chan\)\]:\nmain\.waiter\(/);
    expect(r.err).toMatch(/\[sleep\]/);
  });

  it("answers HTTP requests while goroutines use all the time they get", async () => {
    const r = await node(`
      import http from "node:http";
      let stop = false;
      for (let i = 0; i < 4; i++) g.go(function* () { while (!stop) yield* g.gosched(); });
      const server = http.createServer((req, res) => res.end("ok")).listen(0, () => {
        const port = server.address().port;
        let left = 20;
        const delays = [];
        const ask = () => {
          const t = performance.now();
          http.get({ port, agent: false }, (res) => {
            res.resume().on("end", () => {
              delays.push(performance.now() - t);
              if (--left > 0) return ask();
              stop = true;
              server.close();
              delays.sort((a, b) => a - b);
              console.log(delays.length);
            });
          });
        };
        ask();
      });
    `);
    expect([r.code, r.out]).toEqual([0, "20\n"]);
  });
});
