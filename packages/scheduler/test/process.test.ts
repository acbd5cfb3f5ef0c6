import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";

/** Programs in a process of their own: what keeps the process alive, and how it ends. */

const dir = mkdtempSync(join(tmpdir(), "gort-scheduler-"));

beforeAll(async () => {
  const source = (name: string) => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
  await build({
    entryPoints: { scheduler: source("index"), adapters: source("adapters") },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    outdir: dir,
    outExtension: { ".js": ".mjs" },
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

  it("ends without main when goroutines wait for events that cannot come", async () => {
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
    expect(r.code).toBe(2);
    expect(r.out).toBe("");
    expect(r.err).toMatch(/^panic: out of luck\n\ngoroutine \d+ \[running\]:\n/);
    expect(r.err.match(/out of luck/g)).toHaveLength(1);
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

  it("answers HTTP requests while goroutines use all their time", async () => {
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

/** Programs whose main waits for channel `c`. Each wakes it by a different event that it arms before the wait. */
const healthy: Record<string, string> = {
  "a timer": `setTimeout(() => c.trySend("ok"), 60);`,
  "an interval": `const t = setInterval(() => { clearInterval(t); c.trySend("ok"); }, 60);`,
  "a listening server": `
    const server = net.createServer((s) => { s.destroy(); server.close(); c.trySend("ok"); }).listen(0, "127.0.0.1");
    await once(server, "listening");
    setTimeout(() => net.connect(server.address().port, "127.0.0.1").on("error", () => {}), 60).unref();`,
  "a child process": `execFile(process.execPath, ["-e", ""], () => c.trySend("ok"));`,
  "a worker's message": `
    const w = new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true });
    w.on("message", () => c.trySend("ok"));`,
  "a message port": `
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); c.trySend("ok"); };
    setTimeout(() => port2.postMessage(1), 60);`,
  "a chain of promises": `
    void (async () => {
      for (let i = 0; i < 5; i++) await new Promise((r) => setTimeout(r, 10));
      c.trySend("ok");
    })();`,
  "a listener of beforeExit": `process.once("beforeExit", () => setTimeout(() => c.trySend("ok"), 10));`,
  "a signal": `
    g.go(function* () {
      const { C } = fromEvents(process, "SIGUSR2");
      setTimeout(() => process.kill(process.pid, "SIGUSR2"), 100).unref();
      yield* C.recv();
      c.trySend("ok");
    });`,
  "an announced source": `g.defaultScheduler().hostSource(); setTimeout(() => c.trySend("ok"), 60).unref();`,
};

/** Programs whose main nothing can wake, with the wait states that differ from `chan receive`. */
const dead: Record<string, { body: string; state?: string }> = {
  "a channel": { body: `yield* c.recv();` },
  "a channel, after what was armed is over": { body: `setTimeout(() => {}, 50); yield* c.recv();` },
  "an abort signal that nothing can abort": {
    body: `fromAbortSignal(new AbortController().signal); yield* c.recv();`,
  },
  "an event that nothing can emit": { body: `yield* fromEvents(new EventTarget(), "x").C.recv();` },
  "an iterator that gives no promise": {
    body: `
      try { fromAsyncIterable({ [Symbol.asyncIterator]() { throw new Error("ai"); } }); } catch {}
      yield* c.recv();`,
  },
  "an iterator that never answers": {
    body: `
      const iterable = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
      yield* fromAsyncIterable(iterable).C.recv();`,
  },
  "a thenable that never settles": { body: `yield* g.syscall({ then() {} });`, state: "syscall" },
  "a promise that never settles": { body: `yield* g.syscall(new Promise(() => {}));`, state: "syscall" },
  "a signal source that was stopped": {
    body: `const s = fromEvents(process, "SIGUSR2"); s.stop(); yield* c.recv();`,
  },
  "an unreferenced timer": { body: `setTimeout(() => c.trySend(1), 60000).unref(); yield* c.recv();` },
};

const prelude = `
  import net from "node:net";
  import { once } from "node:events";
  import { execFile } from "node:child_process";
  import { Worker } from "node:worker_threads";
  import { fromAbortSignal, fromAsyncIterable, fromEvents } from "./adapters.mjs";
  const c = g.makeChan();
`;

describe("a program whose goroutines wait", () => {
  it.concurrent.each(Object.entries(healthy))("is woken by %s", async (_what, arm) => {
    const r = await node(`${prelude}${arm}
      console.log(await g.main(function* () { return yield* c.recv(); }));
      process.exit(0);
    `);
    expect([r.code, r.out, r.err]).toEqual([0, "ok\n", ""]);
  });

  it.concurrent.each(Object.entries(dead))(
    "ends with a report and status 2 when it waits for %s",
    async (_what, { body, state }) => {
      const r = await node(`${prelude}await g.main(function* waits() { ${body} });`);
      expect([r.code, r.out]).toEqual([2, ""]);
      expect(r.err).toMatch(/^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[/);
      expect(r.err).toContain(`goroutine 1 [${state ?? "chan receive"}]:\nmain.waits(...)\n\t`);
    },
  );
});

describe("the end of a program", () => {
  const deadlock = `g.main(function* waits() { yield* g.recv(null); })`;

  it("prints nothing if the caller of main handles the error", async () => {
    const r = await node(`await ${deadlock}.catch((e) => console.log(e.message, e.constructor.name));`);
    expect([r.code, r.out, r.err]).toEqual([0, "all goroutines are asleep - deadlock! FatalError\n", ""]);
  });

  it("prints nothing if the program has a handler for uncaught errors", async () => {
    const r = await node(`
      process.on("uncaughtException", (e) => { console.log("mine:", e.message); process.exit(7); });
      void ${deadlock};
    `);
    expect([r.code, r.out, r.err]).toEqual([7, "mine: all goroutines are asleep - deadlock!\n", ""]);
  });

  it("by a panic of any goroutine has Go's report and status", async () => {
    const r = await node(`
      void g.main(function* () { g.go(function* boom() { g.panic("no"); }); yield* g.sleep(1000); });
    `);
    expect([r.code, r.out]).toEqual([2, ""]);
    expect(r.err).toMatch(/^panic: no\n\ngoroutine \d+ \[running\]:\n(?:main\.panic.*\n.*\n)*main\.boom\(/);
  });

  it("is reported for each of several schedulers", async () => {
    const r = await node(`
      const ends = [1, 2].map(() => {
        const s = g.createScheduler();
        return s.main(() => s.makeChan().recv()).catch((e) => e.message);
      });
      console.log((await Promise.all(ends)).join());
    `);
    expect([r.code, r.out]).toEqual([
      0,
      `${Array(2).fill("all goroutines are asleep - deadlock!").join()}\n`,
    ]);
  });

  it("in a worker thread is printed there, and reaches the parent as the worker's error", async () => {
    const r = await node(`
      import { isMainThread, Worker } from "node:worker_threads";
      if (isMainThread) {
        const w = new Worker(new URL(import.meta.url));
        w.on("error", (e) => console.log(e.message));
      } else {
        await ${deadlock};
      }
    `);
    expect([r.code, r.out]).toEqual([0, "all goroutines are asleep - deadlock!\n"]);
    expect(r.err).toMatch(
      /^fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 \[chan receive \(nil chan\)\]/,
    );
  });

  it("is never a deadlock with deadlock: off; in every mode it comes after a sleeping program's timers", async () => {
    const r = await node(`
      const off = g.createScheduler({ deadlock: "off" });
      void off.main(() => off.makeChan().recv());
      for (const deadlock of ["certain", "eager", "warn"]) {
        const s = g.createScheduler({ deadlock });
        await s.main(function* () { yield* s.sleep(20); });
      }
      console.log("done");
      process.exitCode = 0;
    `);
    expect([r.code, r.out, r.err]).toEqual([0, "done\n", ""]);
  });
});
