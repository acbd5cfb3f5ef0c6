// The built command runs a program and reads its profiles. If Go is installed, Go's tool reads them, too.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { decodeProfile, encodeProfile } from "@gort/runtime/pprof-tools";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../src/index.ts";

const bin = fileURLToPath(new URL("../dist/bin.js", import.meta.url));
const dir = mkdtempSync(join(realpathSync(tmpdir()), "gort-pprof-"));
const app = join(dir, "app");
const file = (name: string) => join(dir, name);
const go = findGo();
if (go === null) console.log("go tool pprof: no Go toolchain (GO, or go in PATH); its tests are skipped");

function findGo(): string | null {
  for (const candidate of [process.env.GO, "go"]) {
    if (candidate && spawnSync(candidate, ["version"]).status === 0) return candidate;
  }
  return null;
}

let server: Server;
/** The number of bytes that an endless answer has sent. */
let sent = 0;
let origin: string;

beforeAll(async () => {
  // The program lies in a project. Its file is package main nevertheless.
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), '{"name":"some-app","type":"module"}');
  copyFileSync(new URL("programs/profiles.ts", import.meta.url), join(app, "profiles.ts"));
  const r = spawnSync(process.execPath, [bin, "run", "profiles.ts", dir], { cwd: app, encoding: "utf8" });
  expect(r.stderr).toBe("");
  expect(r.status).toBe(0);
  server = createServer((request, response) => {
    const url = new URL(request.url!, "http://x");
    if (url.pathname === "/debug/pprof/heap") return response.end(readFileSync(file("heap.pprof")));
    if (url.pathname === "/debug/pprof/profile" && url.searchParams.get("seconds") === "2") {
      return response.end(readFileSync(file("block.pprof")));
    }
    if (url.pathname === "/cut") {
      response.writeHead(200, { "content-length": "1000" });
      response.write("0123456789");
      return setTimeout(() => request.socket.destroy(), 20);
    }
    if (url.pathname === "/silent") return;
    if (url.pathname === "/stalled") {
      response.writeHead(200, { "content-length": "1000" });
      return response.write("0123456789");
    }
    if (url.pathname === "/endless") {
      response.writeHead(500, { "content-type": "text/plain" });
      const more = () => {
        while (response.write("no end \x1b[31m\u202e".repeat(10_000)));
        sent = Math.max(sent, response.socket?.bytesWritten ?? 0);
      };
      response.on("drain", more);
      return more();
    }
    if (url.pathname === "/page") return response.end("<!doctype html><p>Not found");
    response.writeHead(404, { "content-type": "text/plain" });
    return response.end("Unknown profile\nmore");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true });
});

async function gort(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const code = await run(["pprof", ...args], {
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
  });
  return { code, out, err };
}

describe("gort pprof", () => {
  it("lists the functions with the highest values; those of the main module are in package main", async () => {
    const { code, out, err } = await gort("--sample_index", "inuse_objects", file("heap.pprof"));
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^Type: inuse_objects$/m);
    expect(out).toMatch(/^ +1000 .* main\.\(\*Store\)\.fill$/m);
    expect(out).not.toContain("some-app");
  });

  it("prints callers and callees, and every sample", async () => {
    expect((await gort("--tree", file("mutex.pprof"))).out).toMatch(/100% \| {3}main\.locker$/m);
    expect((await gort("--traces", file("goroutine.pprof"))).out).toMatch(
      /^ +10 {3}runtime\.gopark\n +runtime\.chanrecv1\n +main\.waiter$/m,
    );
  });

  it("subtracts a base", async () => {
    const { out } = await gort("--diff", file("heap.pprof"), file("heap.pprof"));
    expect(out).toContain("Showing nodes accounting for 0,");
  });

  it("shows only samples that a pattern matches", async () => {
    const { out } = await gort("--traces", "--ignore", "chanrecv1", file("goroutine.pprof"));
    expect(out).toContain("main.main");
    expect(out).not.toContain("main.waiter");
  });

  it("writes a flame graph as one page", async () => {
    const { code, out } = await gort("--flame", file("heap.html"), file("heap.pprof"));
    expect([code, out]).toEqual([0, ""]);
    const page = readFileSync(file("heap.html"), "utf8");
    expect(page).toMatch(/^<!doctype html>/i);
    expect(page).toContain("main.(*Store).fill");
    expect(page).not.toMatch(/(?:src|href)="http/);
  });

  it("fetches a profile and says so; a server without a path means its CPU profile", async () => {
    const heap = await gort(`${origin}/debug/pprof/heap`);
    expect(heap.code).toBe(0);
    expect(heap.err).toBe(`Fetching profile over HTTP from ${origin}/debug/pprof/heap\n`);
    expect(heap.out).toContain("main.(*Store).fill");
    const cpu = await gort("--seconds", "2", origin);
    expect(cpu.err).toContain("/debug/pprof/profile?seconds=2\n");
    expect(cpu.out).toMatch(/^Type: delay$/m);
  });

  it.each([
    ["a missing file", ["missing.pprof"], /^gort: cannot open missing\.pprof: no such file\n$/],
    ["a folder", [dir], /^gort: cannot open .*: it is a directory\n$/],
    ["a file cut short", ["cut"], /^gort: .*cut is no profile in pprof's format \(offset \d+: .+\)\n$/],
    ["a file cut short while packed", ["packed"], /\(offset 0: gzip: unexpected end of file\)\n$/],
    [
      "the text form",
      ["heap.txt"],
      /^gort: cannot show .*heap\.txt: it is a profile as text; ask for it with debug=0\n$/,
    ],
    [
      "V8's CPU profiles",
      ["v8.cpuprofile"],
      /v8\.cpuprofile: it is a \.cpuprofile of V8; open it in Chrome DevTools, or /,
    ],
    [
      "V8's heap profiles",
      ["v8.heapprofile"],
      /it is a \.heapprofile of V8; open it in .* startV8HeapProfile\n$/,
    ],
    ["heap snapshots", ["v8.heapsnapshot"], /it is a \.heapsnapshot of V8; open it in Chrome DevTools\n$/],
    [
      "an unknown kind of sample",
      ["heap.pprof", "--sample_index", "x"],
      /has no samples of x; it has alloc_o/,
    ],
    ["profiles of different kinds", ["heap.pprof", "--diff", "mutex.pprof"], /cannot compare .* different/],
    ["no file", [], /^gort: pprof: no file or URL given\n$/],
    ["two reports at once", ["--top", "--tree", "heap.pprof"], /^gort: pprof shows one of/],
    ["a count that is none", ["--nodecount", "x", "heap.pprof"], /^gort: --nodecount must be a whole number/],
    ["a broken pattern", ["--focus", "(", "heap.pprof"], /^gort: --focus must be a regular expression/],
  ])("refuses %s", async (_, args, message) => {
    writeFileSync(file("v8.cpuprofile"), '{"nodes":[{"id":1,"callFrame":{}}],"startTime":1}');
    writeFileSync(file("v8.heapprofile"), '{"head":{"callFrame":{}},"samples":[]}');
    writeFileSync(file("v8.heapsnapshot"), '{"snapshot":{"meta":{}}}');
    writeFileSync(file("cut"), gunzipSync(readFileSync(file("heap.pprof"))).subarray(0, 150));
    writeFileSync(file("packed"), readFileSync(file("heap.pprof")).subarray(0, 100));
    const { code, out, err } = await gort(...args.map((a) => (existsSync(file(a)) ? file(a) : a)));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(message);
  });

  it("reports an error answer of a server, and that there is no server", async () => {
    const missing = await gort(`${origin}/debug/pprof/nothing`);
    expect(missing.code).toBe(1);
    expect(missing.err).toContain(": the server answered 404 Not Found: Unknown profile\n");
    expect((await gort(`${origin}/cut`)).err).toMatch(/gort: cannot fetch \S+: .+\n$/);
    const closed = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => closed.once("listening", resolve));
    const free = (closed.address() as AddressInfo).port;
    await new Promise((resolve) => closed.close(resolve));
    expect((await gort(`http://127.0.0.1:${free}/x`)).err).toContain("ECONNREFUSED");
  });

  it("reads only the beginning of an error answer, and shows its control characters as text", async () => {
    const { code, err } = await gort(`${origin}/endless`);
    expect(code).toBe(1);
    expect(err).toContain("the server answered 500 Internal Server Error: no end \\x1b[31m\\u202eno end");
    expect(err.length).toBeLessThan(2000);
    // The sockets of both sides buffer more than the command reads.
    expect(sent).toBeLessThan(32 << 20);
  });

  it("shows names with control characters in one line, as text", async () => {
    const profile = await decodeProfile(readFileSync(file("heap.pprof")));
    const evil = "main.a\x1b]0;title\x07\nb\u202e\u{e0001}\x9b";
    const [first] = profile.samples;
    const location = first.locations[0];
    location.lines[0].function.name = evil;
    const samples = [
      { locations: [location], values: [1, 1, 1, 1], labels: [{ key: "k\r", str: "v\x1b[2J" }] },
    ];
    const bytes = await encodeProfile({ ...profile, samples, comments: ["c\x1b[0m"] });
    writeFileSync(file("evil.pprof"), bytes);
    const shown = "main.a\\x1b]0;title\\x07\\nb\\u202e\\U000e0001\\u009b";
    for (const report of ["--top", "--tree", "--traces"]) {
      const { out } = await gort(report, file("evil.pprof"));
      expect(out).toContain(shown);
      expect(out).toContain("c\\x1b[0m");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the output must not contain them.
      expect(out).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
    }
    expect((await gort("--traces", file("evil.pprof"))).out).toContain("k\\r:  v\\x1b[2J");
    expect((await gort("no\x1b[31m\nfile")).err).toBe("gort: cannot open no\\x1b[31m\\nfile: no such file\n");
  });

  it("says which part of the whole profile a pattern leaves, as Go's tool does", async () => {
    const { out } = await gort("--sample_index", "inuse_space", "--focus", "no such", file("heap.pprof"));
    expect(out).toMatch(
      /^Active filters:\n {3}focus=no such\nShowing nodes accounting for 0, 0% of [\d.]+kB total$/m,
    );
  });

  it("reads a pipe, and reads an endless device up to a bound", () => {
    const r = spawnSync(
      "sh",
      ["-c", `cat "$1" | "$2" "$3" pprof /dev/stdin`, "sh", file("heap.pprof"), process.execPath, bin],
      {
        encoding: "utf8",
      },
    );
    expect([r.status, r.stderr]).toEqual([0, ""]);
    expect(r.stdout).toContain("main.(*Store).fill");
  });

  it("gives up a server that never answers or never ends, and refuses an answer that is no profile", async () => {
    const given = await Promise.all(
      ["silent", "stalled", "page"].map((path) => gort("--timeout", "1", `${origin}/${path}`)),
    );
    expect(given.map(({ code, out }) => [code, out])).toEqual(given.map(() => [1, ""]));
    const [silent, stalled, page] = given.map(({ err }) => err.split("\n")[1]);
    expect(silent).toBe(`gort: cannot fetch ${origin}/silent: no complete answer within 1 s (see --timeout)`);
    expect(stalled).toBe(
      `gort: cannot fetch ${origin}/stalled: no complete answer within 1 s (see --timeout)`,
    );
    expect(page).toMatch(/^gort: .*\/page is no profile in pprof's format \(offset 0: .+\)$/);
  });

  it("leaves no partial page behind when it cannot be written", async () => {
    mkdirSync(file("taken"));
    const before = readdirSync(dir);
    const { code, err } = await gort("--flame", file("taken"), file("heap.pprof"));
    expect(code).toBe(1);
    expect(err).toMatch(/^gort: cannot write .*taken: /);
    expect(readdirSync(dir)).toEqual(before);
  });

  // A limit on the size of files stands for a full disk. Windows has no such limit.
  it.skipIf(process.platform === "win32")("nor when the disk takes only a part of it", () => {
    const gort = `"${process.execPath}" "${bin}"`;
    const command = `ulimit -f 2; exec ${gort} pprof --flame "${file("part.html")}" "${file("heap.pprof")}"`;
    const r = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect(r.status).toBe(1);
    expect(r.stderr).toMatch(/cannot write .*part\.html: EFBIG/);
    expect(readdirSync(dir).filter((name) => name.includes("part"))).toEqual([]);
  });
});

// Skipped without Go, because the tests ask whether Go's own tool accepts the profiles.
describe.skipIf(go === null)("go tool pprof on the profiles of a program", () => {
  const top = (name: string, ...args: string[]) => {
    const r = spawnSync(go!, ["tool", "pprof", "-top", ...args, file(name)], { encoding: "utf8" });
    // Go's tool prints this for the text form, which has no names.
    expect(r.stderr.replace("Main binary filename not available.\n", "")).toBe("");
    return r.stdout;
  };

  it("shows the heap's totals with their lines, and the goroutines that waited for each other", () => {
    expect(top("heap.pprof", "-unit=B")).toMatch(/1024000B .*main\.\(\*Store\)\.fill$/m);
    const source = readFileSync(join(app, "profiles.ts"), "utf8");
    const at = source.slice(0, source.indexOf("makeSlice(uint8")).split("\n").length;
    expect(top("heap.pprof", "-lines")).toMatch(new RegExp(`fill .*profiles\\.ts:${at}`));
    expect(top("block.pprof", "-cum")).toMatch(/main\.locker$/m);
    expect(top("block.pprof")).toMatch(/sync\.\(\*Mutex\)\.Lock$/m);
    expect(top("mutex.pprof", "-cum")).toMatch(/ 100% {2}main\.locker$/m);
    expect(top("mutex.pprof", "-sample_index=contentions")).toMatch(/^ +\d+ .*sync\.\(\*Mutex\)\.Unlock$/m);
    expect(top("goroutine.pprof", "-cum")).toMatch(/^ +0 +0% .* 10 .*main\.waiter$/m);
    expect(top("threadcreate.pprof")).toMatch(/^Type: threadcreate$/m);
    expect(top("goroutineleak.pprof")).toMatch(/^Type: goroutineleak$/m);
  });

  it("shows the same numbers of goroutines and bytes from the text forms", () => {
    expect(top("heap.txt", "-unit=B", "-sample_index=inuse_space")).toMatch(/of \d+B total/);
    expect(top("goroutine.txt")).toMatch(/ of 11 total/);
    expect(top("mutex.txt")).toMatch(/^Type: delay$/m);
  });

  it.each(["top", "tree", "traces"])("prints -%s as gort does", async (report) => {
    for (const name of ["heap", "block", "mutex", "goroutine"]) {
      const r = spawnSync(go!, ["tool", "pprof", `-${report}`, file(`${name}.pprof`)], { encoding: "utf8" });
      const body = (text: string) => text.slice(text.search(/^(?:Showing|-----)/m)).replace(/[ \t]+$/gm, "");
      const { out } = await gort(`--${report}`, file(`${name}.pprof`));
      expect(body(out).trim()).toBe(body(r.stdout).trim());
    }
  });
});
