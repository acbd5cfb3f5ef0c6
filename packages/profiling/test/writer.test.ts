import { execFileSync, spawnSync } from "node:child_process";
import {
  createWriteStream,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import { afterAll, describe, expect, it } from "vitest";
import { createProfiler, type Profiler, writeFileAtomically } from "../src/index.ts";

const dir = mkdtempSync(join(tmpdir(), "gort-writer-"));
afterAll(() => rmSync(dir, { recursive: true }));
const bytes = new TextEncoder().encode("a whole profile");

describe("writeFileAtomically", () => {
  it("replaces a file, and leaves no other file", async () => {
    const path = join(dir, "file");
    writeFileSync(path, "old");
    await writeFileAtomically(path, bytes);
    expect(readFileSync(path, "utf8")).toBe("a whole profile");
    expect(readdirSync(dir)).toEqual(["file"]);
  });

  // Windows has no such files.
  it.skipIf(process.platform === "win32")("writes to a pipe instead of replacing it", async () => {
    const path = join(dir, "pipe");
    expect(spawnSync("mkfifo", [path]).status).toBe(0);
    const { open } = await import("node:fs/promises");
    const [reader] = await Promise.all([open(path, "r"), writeFileAtomically(path, bytes)]);
    expect((await reader.readFile()).toString()).toBe("a whole profile");
    await reader.close();
    expect(statSync(path).isFIFO()).toBe(true);
    rmSync(path);
  });

  // Linux has a device that is always full.
  it.skipIf(!existsSync("/dev/full"))("reports that a device is full, and does not replace it", async () => {
    await expect(writeFileAtomically("/dev/full", bytes)).rejects.toThrow(/ENOSPC/);
    expect(statSync("/dev/full").isCharacterDevice()).toBe(true);
    expect(readdirSync("/dev").filter((name) => name.startsWith("full."))).toEqual([]);
  });
});

describe("writeTo", () => {
  function filled(): Profiler {
    const p = createProfiler({ memProfileRate: 1 });
    for (let i = 0; i < 3; i++) p.mem.alloc(48);
    return p;
  }

  it("writes gzipped pprof to Node streams, web streams and functions, and closes none", async () => {
    const p = filled();
    const heap = p.lookup("heap")!;
    const chunks: Uint8Array[] = [];
    let finished = false;
    const node = new Writable({
      write: (c, _e, done) => {
        chunks.push(c);
        done();
      },
      final: (done) => {
        finished = true;
        done();
      },
    });
    await heap.writeTo(node);
    expect(finished).toBe(false);
    let closed = false;
    const web = new WritableStream<Uint8Array>({
      write: (c) => void chunks.push(c),
      close: () => void (closed = true),
    });
    await heap.writeTo(web);
    expect(closed).toBe(false);
    expect(web.locked).toBe(false);
    await heap.writeTo((c) => void chunks.push(c));
    const path = join(dir, "fn.pprof");
    await heap.writeFile(path);
    chunks.push(readFileSync(path));
    expect(chunks).toHaveLength(4);
    for (const c of chunks) expect(Profile.decode(gunzipSync(c)).sample).toHaveLength(1);
  });

  it("rejects with the stream's error, also when it fails midway or is destroyed", async () => {
    const p = filled();
    const full = new Writable({ write: (_c, _e, done) => done(new Error("ENOSPC: no space left")) });
    full.on("error", () => {});
    await expect(p.writeHeapProfile(full)).rejects.toThrow("ENOSPC");
    const stuck: Writable = new Writable({ write: () => void setImmediate(() => stuck.destroy()) });
    stuck.on("error", () => {});
    await expect(p.writeHeapProfile(stuck)).rejects.toThrow(/closed|destroyed/i);
    await expect(p.writeHeapProfile(stuck)).rejects.toThrow(/has ended/);
    const web = new WritableStream({
      write: () => {
        throw new Error("web sink failed");
      },
    });
    await expect(p.writeHeapProfile(web)).rejects.toThrow("web sink failed");
    await expect(p.writeHeapProfile({} as Writable)).rejects.toThrow(TypeError);
    await expect(p.writeHeapProfile(null as unknown as Writable)).rejects.toThrow(/got null/);
    await expect(p.lookup("heap")!.writeTo(() => {}, -1)).rejects.toThrow(/debug must be/);
  });

  // The device that is always full is Linux's.
  it.runIf(existsSync("/dev/full"))("reports a full disk", async () => {
    const stream = createWriteStream("/dev/full");
    stream.on("error", () => {});
    await expect(filled().writeHeapProfile(stream)).rejects.toThrow("ENOSPC");
  });

  it("leaves no file if a file cannot be written", async () => {
    const heap = filled().lookup("heap")!;
    await expect(heap.writeFile(join(dir, "missing", "x.pprof"))).rejects.toThrow("ENOENT");
    const target = join(dir, "is-a-folder");
    execFileSync("mkdir", [target]);
    await expect(heap.writeFile(target)).rejects.toThrow();
    expect(readdirSync(dir).filter((name) => name.includes(".tmp"))).toEqual([]);
  });
});
