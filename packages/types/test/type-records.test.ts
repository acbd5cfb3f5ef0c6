import { Worker } from "node:worker_threads";
import { attachLinearMemory, createLinearMemory } from "@gort/memory";
import { afterEach, describe, expect, it, vi } from "vitest";
import { float64, int, pointer, slice, string, struct, type Type } from "../src/index.ts";
import { TypeRecords } from "../src/type-records.ts";
import { Mixed, Node, thrown } from "./kit.ts";

const memory = () => createLinearMemory({ maxMemory: 64 << 20 });

/** Another thread's view of a memory: other module instances, another LinearMemory. */
async function otherThread(mem: ReturnType<typeof memory>) {
  vi.resetModules();
  const index = await import("../src/index.ts");
  const { TypeRecords } = await import("../src/type-records.ts");
  const { attachLinearMemory } = await import("@gort/memory");
  return { ...index, records: new TypeRecords(attachLinearMemory(mem.memory as never)) };
}

afterEach(() => {
  vi.resetModules();
});

describe("the numbers of types", () => {
  it("are equal for identical types on all threads, and lead to each thread's own type", async () => {
    const mem = memory();
    const records = new TypeRecords(mem);
    const there = await otherThread(mem);
    const Theirs = there.struct("Node", {
      value: there.int,
      get next() {
        return there.pointer(Theirs);
      },
    });
    const id = records.idOf(Node);
    expect(there.records.idOf(Theirs)).toBe(id);
    expect(there.records.typeOf(id)).toBe(Theirs);
    expect(records.typeOf(id)).toBe(Node);
    const ids = [int, string, pointer(Node), slice(Node), Mixed].map((type) => records.idOf(type));
    expect(new Set([id, ...ids]).size).toBe(6);
    expect(records.idOf(pointer(Node))).toBe(ids[2]);
    expect(there.records.idOf(there.pointer(Theirs))).toBe(ids[2]);
    expect(ids.map((n) => there.records.typeOf(n).name)).toEqual([
      "int",
      "string",
      "*Node",
      "[]Node",
      "Mixed",
    ]);
  });

  it("take one record each, and one table a memory", () => {
    const mem = memory();
    const a = new TypeRecords(mem);
    const b = new TypeRecords(attachLinearMemory(mem.memory as never));
    const calls = vi.spyOn(mem, "persistentAlloc");
    const ids = Array.from({ length: 300 }, (_, i) => a.idOf(struct(`S${i}`, { x: float64 })));
    expect(calls).toHaveBeenCalledTimes(300);
    for (let i = 0; i < 300; i++) expect(b.idOf(struct(`S${i}`, { x: float64 }))).toBe(ids[i]);
    expect(new Set(ids).size).toBe(300);
    expect(calls).toHaveBeenCalledTimes(300);
  });

  it("of names outside of ASCII and of very long ones keep the description", () => {
    const a = new TypeRecords(memory());
    for (const name of ["\ufeffX", "日本\ud83d\ude00", "\udc00x", "n".repeat(100_000)]) {
      const T = struct(name, { [`f${name}`]: int });
      expect(JSON.parse(a.textOf(a.idOf(T)))).toEqual([["struct", name, [`f${name}`, 1]], "int"]);
    }
  });

  it("are refused if no thread has made them", () => {
    const mem = memory();
    const records = new TypeRecords(mem);
    const id = records.idOf(Node);
    for (const no of [0, 4, id + 4, id + 1, id + 0.5, -id, mem.size, mem.size - 4, 2 ** 40, Number.NaN]) {
      expect(
        thrown(() => records.typeOf(no)),
        String(no),
      ).toEqual(new TypeError(`types: not the number of a type (got ${no})`));
    }
  });

  it("use the winner's record if another thread adds the same type meanwhile", () => {
    const mem = memory();
    const a = new TypeRecords(mem);
    const late = new TypeRecords(attachLinearMemory(mem.memory as never));
    const T: Type = struct("Contended", { x: int });
    let theirs = 0;
    let neighbours = 0;
    const { kernel } = mem;
    const cas = (addr: number, expected: number, value: number): number => {
      if (theirs === 0) {
        theirs = -1;
        // More records of the list than the winner's: equal hashes are not needed, any list may be met.
        for (let i = 0; i < 200; i++) neighbours += late.idOf(struct(`N${i}`, { x: int })) > 0 ? 1 : 0;
        theirs = late.idOf(struct("Contended", { x: int }));
      }
      return kernel.cas(addr, expected, value);
    };
    Object.defineProperty(mem, "kernel", { value: { ...kernel, cas } });
    expect(a.idOf(T)).toBe(theirs);
    expect(neighbours).toBe(200);
  });

  it("of workers that meet the same types at once are the same", { timeout: 60_000 }, async () => {
    const mem = memory();
    const seed = Math.floor(Math.random() * 2 ** 30);
    const gate = mem.persistentAlloc(4, 4, "otherSys");
    const results = Array.from({ length: 3 }, (_, k) => {
      const worker = new Worker(new URL("workers/type-records.mjs", import.meta.url), {
        workerData: { memory: mem.memory, gate, workers: 3, n: 400, seed: seed + k },
        execArgv: [],
      });
      return new Promise<Record<string, number>>((resolve, reject) =>
        worker.on("message", resolve).on("error", reject),
      );
    });
    const [first, ...others] = await Promise.all(results);
    expect(Object.keys(first).length).toBe(400);
    for (const other of others) expect(other, `seed ${seed}`).toEqual(first);
    const mine = new TypeRecords(mem);
    for (const [name, id] of Object.entries(first)) {
      expect(mine.typeOf(id).name).toBe(name);
      expect(mine.idOf(mine.typeOf(id))).toBe(id);
    }
  });
});
