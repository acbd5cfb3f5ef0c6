import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { diff, parse } from "heap-snapshot-toolkit";
import { describe, expect, it } from "vitest";
import { type HeapDump, HeapDumpWriter, heapSnapshot, readHeapDump } from "../src/heapdump/index.ts";
import { newMemStats, readMemStats } from "../src/index.ts";
import { modelSource } from "../src/testing.ts";

function write(f: (w: HeapDumpWriter) => void): Uint8Array {
  const chunks: Uint8Array[] = [];
  const w = new HeapDumpWriter((chunk) => chunks.push(chunk.slice()));
  f(w);
  w.end();
  const all = new Uint8Array(Buffer.concat(chunks));
  expect(w.bytes).toBe(all.length);
  return all;
}

const params = {
  bigEndian: false,
  pointerSize: 8,
  heapStart: 0x10000,
  heapEnd: 0x90000,
  arch: "amd64",
  version: "go1.27.3",
  cpus: 2,
};

/** An object of `words` words whose first ones are the pointers. */
function contents(words: number, pointers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(words * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, p] of pointers.entries()) view.setUint32(i * 8, p, true);
  return bytes;
}
const offsets = (n: number): number[] => Array.from({ length: n }, (_, i) => i * 8);

const goDump = (): Uint8Array =>
  gunzipSync(readFileSync(join(import.meta.dirname, "golden/go1.27.heapdump.gz")));

interface Snapshot {
  snapshot: {
    meta: {
      node_fields: string[];
      node_types: (string | string[])[];
      edge_fields: string[];
      edge_types: (string | string[])[];
    };
    node_count: number;
    edge_count: number;
  };
  nodes: number[];
  edges: number[];
  strings: string[];
  [member: string]: unknown;
}

/** What Chrome DevTools' loader relies on: the order of the members, counts, indices, and the root at the beginning. */
function checkSnapshot(text: string): Snapshot {
  const s = JSON.parse(text) as Snapshot;
  expect(Object.keys(s)).toEqual([
    "snapshot",
    "nodes",
    "edges",
    "trace_function_infos",
    "trace_tree",
    "samples",
    "locations",
    "strings",
  ]);
  const { meta, node_count: nodes, edge_count: edges } = s.snapshot;
  const width = meta.node_fields.length;
  const field = (name: string): number => meta.node_fields.indexOf(name);
  const nodeTypes = meta.node_types[0] as string[];
  const edgeTypes = meta.edge_types[0] as string[];
  expect(meta.edge_fields).toEqual(["type", "name_or_index", "to_node"]);
  expect(s.nodes.length).toBe(nodes * width);
  expect(s.edges.length).toBe(edges * 3);
  // The loader reads digits and nothing else, into 32 bits.
  for (const n of s.nodes) expect(Number.isInteger(n) && n >= 0 && n < 2 ** 32).toBe(true);
  for (const n of s.edges) expect(Number.isInteger(n) && n >= 0 && n < 2 ** 32).toBe(true);
  let outgoing = 0;
  const ids = new Set<number>();
  for (let i = 0; i < s.nodes.length; i += width) {
    expect(s.nodes[i + field("type")]).toBeLessThan(nodeTypes.length);
    expect(s.nodes[i + field("name")]).toBeLessThan(s.strings.length);
    ids.add(s.nodes[i + field("id")]);
    outgoing += s.nodes[i + field("edge_count")];
  }
  expect(ids.size).toBe(nodes);
  expect(outgoing).toBe(edges);
  expect(nodeTypes[s.nodes[0]]).toBe("synthetic");
  for (let i = 0; i < s.edges.length; i += 3) {
    const type = edgeTypes[s.edges[i]];
    if (type === "property") expect(s.edges[i + 1]).toBeLessThan(s.strings.length);
    else expect(type).toBe("element");
    expect(s.edges[i + 2] % width).toBe(0);
    expect(s.edges[i + 2]).toBeLessThan(s.nodes.length);
  }
  return s;
}

/** For each node by name: those that point to it. */
function retainers(s: Snapshot): Map<string, string[]> {
  const width = s.snapshot.meta.node_fields.length;
  const name = (at: number): string => s.strings[s.nodes[at + 1]];
  const out = new Map<string, string[]>();
  let e = 0;
  for (let i = 0; i < s.nodes.length; i += width) {
    for (let k = 0; k < s.nodes[i + 4]; k++, e += 3) {
      const to = name(s.edges[e + 2]);
      out.set(to, [...(out.get(to) ?? []), name(i)]);
    }
  }
  return out;
}

/** Node indices that the root reaches. */
function reachable(s: Snapshot): Set<number> {
  const width = s.snapshot.meta.node_fields.length;
  const first: number[] = [];
  let e = 0;
  for (let i = 0; i < s.nodes.length; i += width) {
    first.push(e);
    e += 3 * s.nodes[i + 4];
  }
  const seen = new Set([0]);
  for (const i of seen) {
    const from = first[i / width];
    for (let k = 0; k < s.nodes[i + 4]; k++) seen.add(s.edges[from + 3 * k + 2]);
  }
  return seen;
}

const snapshotText = (dump: HeapDump, options = {}): string => [...heapSnapshot(dump, options)].join("");

describe("readHeapDump", () => {
  it("reads the dump of a Go 1.27 program", () => {
    const dump = readHeapDump(goDump());
    expect(dump.params).toMatchObject({
      bigEndian: false,
      pointerSize: 8,
      arch: "amd64",
      version: "go1.27.3",
    });
    const { HeapObjects, HeapAlloc, NumGC } = dump.memStats;
    expect(NumGC).toBe(0);
    // The figures count no object that a P's cache holds, and the dump no tiny objects in a shared block.
    expect(dump.objectCount).toBeGreaterThanOrEqual(HeapObjects);
    expect(dump.sizes.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(HeapAlloc);
    const main = dump.goroutines.find((g) => g.id === 1)!;
    expect(main.waitReason).toBe("dumping heap");
    expect(main.frames.map((f) => f.name)).toContain("main.main");
    expect(dump.goroutines.find((g) => g.waitReason === "chan receive")?.frames[0].name).toBe(
      "runtime.gopark",
    );
    expect(dump.finalizers.length).toBeGreaterThan(0);
    // The list of 50: objects of 896 bytes with a header, each pointed to at its eighth byte.
    const nodes = [...dump.sizes].flatMap((size, i) => (size === 896 ? [i] : []));
    expect(nodes.length).toBe(51);
    const next = nodes.filter((i) => {
      const k = dump.firstPointer[i];
      return k < dump.firstPointer[i + 1] && dump.sizes[dump.find(dump.pointers[k])] === 896;
    });
    expect(next.length).toBe(49);
    const sampled = [...dump.samples.values()].map((id) => dump.allocs.get(id)!.frames.map((f) => f.func));
    expect(sampled.some((frames) => frames.includes("main.main"))).toBe(true);
  });

  it("reads back the records that HeapDumpWriter wrote", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ words: fc.integer({ min: 1, max: 20 }), to: fc.array(fc.nat(30), { maxLength: 20 }) }),
          {
            maxLength: 30,
          },
        ),
        fc.array(fc.record({ kind: fc.string(), to: fc.nat(30) }), { maxLength: 5 }),
        (objects, roots) => {
          let at = params.heapStart;
          const starts = objects.map((o) => {
            at += 8 * o.words;
            return at - 8 * o.words;
          });
          const address = (i: number): number => starts[i] ?? 0;
          const dump = readHeapDump(
            write((w) => {
              w.params(params);
              objects.forEach((o, i) => {
                const to = o.to.slice(0, o.words).map(address);
                w.object(starts[i], contents(o.words, to), offsets(to.length));
              });
              for (const r of roots) w.root(r.kind, address(r.to));
            }),
          );
          expect(dump.params).toEqual(params);
          expect([...dump.addresses]).toEqual(starts);
          expect([...dump.sizes]).toEqual(objects.map((o) => 8 * o.words));
          expect(dump.roots).toEqual(roots.map((r) => ({ description: r.kind, to: address(r.to) })));
          objects.forEach((o, i) => {
            const to = o.to.slice(0, o.words).map(address);
            const from = dump.firstPointer[i];
            const got = [...dump.pointers.slice(from, dump.firstPointer[i + 1])];
            expect(got).toEqual(to.filter((p) => p !== 0));
            expect(dump.pointerSlots[i]).toBe(to.length);
            expect(dump.find(starts[i] + 8 * o.words - 1)).toBe(i);
            expect([...dump.contents(i)]).toEqual([...contents(o.words, to)]);
          });
          expect(dump.find(at)).toBe(-1);
          checkSnapshot(snapshotText(dump));
        },
      ),
    );
  });

  it("keeps MemStats, goroutines with their frames, finalizers and allocation stacks", () => {
    const source = modelSource(9);
    for (let i = 0; i < 100; i++) source.step();
    source.collect(true);
    const m = readMemStats(source);
    m.NextGC = 2 ** 63 * 0.97;
    const goroutine = {
      address: 7,
      id: 7,
      status: 4,
      isSystem: false,
      isBackground: false,
      waitSince: 0,
      waitReason: "select",
    };
    const frame = { sp: 0x500, depth: 0, name: "main.f", contents: contents(2, [0x10000]), pointers: [0, 8] };
    const alloc = {
      id: 3,
      size: 16,
      frames: [{ func: "main.f", file: "main.ts", line: 12 }],
      allocs: 5,
      frees: 4,
    };
    const dump = readHeapDump(
      write((w) => {
        w.params(params);
        w.goroutine(goroutine, 0x500);
        w.frame(frame);
        w.memStats(m);
        w.finalizer(0x10000, false);
        w.finalizer(0x10010, true);
        w.allocStack(alloc);
        w.allocSample(0x10000, 3);
      }),
    );
    expect(dump.goroutines).toEqual([{ ...goroutine, frames: [frame] }]);
    expect([dump.finalizers, dump.queuedFinalizers]).toEqual([[0x10000], [0x10010]]);
    expect([...dump.allocs.values(), ...dump.samples]).toEqual([alloc, [0x10000, 3]]);
    const { Mallocs, LastGC, NextGC, PauseNs, NumGC, OtherSys } = dump.memStats;
    expect({ Mallocs, LastGC, NextGC, NumGC, OtherSys }).toEqual({
      Mallocs: m.Mallocs,
      LastGC: m.LastGC,
      NextGC: m.NextGC,
      NumGC: m.NumGC,
      OtherSys: m.OtherSys,
    });
    expect([...PauseNs]).toEqual([...m.PauseNs]);
    expect(newMemStats().BySize.length).toBe(dump.memStats.BySize.length);
  });

  it("keeps a name that begins with U+FEFF", () => {
    const dump = readHeapDump(
      write((w) => {
        w.params(params);
        w.root("\uFEFFrefs", 0x10000);
      }),
    );
    expect(dump.roots).toEqual([{ description: "\uFEFFrefs", to: 0x10000 }]);
  });

  it("writes objects larger than its buffer", () => {
    const big = new Uint8Array(300_000).map((_, i) => i);
    const dump = readHeapDump(
      write((w) => {
        w.params(params);
        w.object(0x10000, big, []);
      }),
    );
    expect(Buffer.compare(dump.contents(0), big)).toBe(0);
  });

  it("says where a dump is cut off, and refuses bytes that are no dump", () => {
    const bytes = write((w) => {
      w.params(params);
      w.object(0x10000, contents(2, [0x10000]), [0]);
    });
    for (let n = 16; n < bytes.length; n++) {
      expect(() => readHeapDump(bytes.subarray(0, n))).toThrow(/^heapdump: .* at byte \d+$/);
    }
    expect(() => readHeapDump(new TextEncoder().encode("go1.3 heap dump\n"))).toThrow(/not a heap dump/);
    expect(() => readHeapDump(new Uint8Array())).toThrow(RangeError);
    const unknown = Uint8Array.from([...bytes.subarray(0, 16), 99]);
    expect(() => readHeapDump(unknown)).toThrow("heapdump: unknown record 99 at byte 17");
    const endless = Uint8Array.from([...bytes.subarray(0, 16), ...Array(12).fill(0xff)]);
    expect(() => readHeapDump(endless)).toThrow(/more than 64 bits/);
    expect(() => readHeapDump(Uint8Array.from([...bytes.subarray(0, 16), 0]))).toThrow(/no parameters/);
  });
});

describe("heapSnapshot", () => {
  it("makes a snapshot that DevTools loads from a dump of Go", () => {
    const dump = readHeapDump(goDump());
    const s = checkSnapshot(snapshotText(dump));
    const total = s.nodes.reduce((sum, n, i) => (i % 7 === 3 ? sum + n : sum), 0);
    expect(total).toBe(dump.sizes.reduce((a, b) => a + b, 0));
    // Nothing is left out, and what nothing holds is held by (garbage).
    expect(reachable(s).size).toBe(s.snapshot.node_count);
    expect(s.strings).toContain("main.main: 896 bytes, 110 pointers");
  });

  it("shows the retainers of an object: roots, goroutines, other objects, or none", () => {
    const dump = readHeapDump(
      write((w) => {
        w.params(params);
        w.object(0x10000, contents(1, [0x10010]), [0]);
        // Pointed to in the middle.
        w.object(0x10008, contents(2, []), []);
        w.object(0x10020, contents(3, []), []);
        w.object(0x10040, contents(4, []), []);
        w.object(0x10060, contents(5, []), []);
        w.root("refs", 0x10000);
        w.root("refs", 0xdead0);
        w.finalizer(0x10040, true);
        const g = { address: 5, id: 5, status: 4, isSystem: false, isBackground: false, waitSince: 0 };
        w.goroutine({ ...g, waitReason: "select" }, 0x400);
        w.frame({ sp: 0x400, depth: 0, name: "roots", contents: contents(1, [0x10020]), pointers: [0] });
      }),
    );
    const s = checkSnapshot(snapshotText(dump));
    const held = retainers(s);
    expect(held.get("8 bytes, 1 pointer")).toEqual(["(refs)"]);
    expect(held.get("16 bytes")).toEqual(["8 bytes, 1 pointer"]);
    expect(held.get("24 bytes")).toEqual(["goroutine 5 [select]"]);
    expect(held.get("32 bytes")).toEqual(["(queued finalizers)"]);
    expect(held.get("40 bytes")).toEqual(["(garbage)"]);
    expect(held.get("goroutine 5 [select]")).toEqual(["(goroutines)"]);
  });

  it("takes names from its caller", () => {
    const dump = readHeapDump(
      write((w) => {
        w.params(params);
        w.object(0x10000, contents(1, []), []);
        w.object(0x10008, contents(2, []), []);
      }),
    );
    const s = checkSnapshot(
      snapshotText(dump, { nameOf: (d: HeapDump, i: number) => (d.sizes[i] === 8 ? "Leaf" : undefined) }),
    );
    expect(s.strings).toContain("Leaf");
    expect(s.strings).toContain("16 bytes");
  });
});

describe("heapSnapshot in DevTools' own loader", () => {
  /** The snapshot as Chrome DevTools has it after loading: heap-snapshot-toolkit is its code, built for Node. */
  const load = (dump: HeapDump, options = {}) => parse(ReadableStream.from(heapSnapshot(dump, options)));
  type Loaded = Awaited<ReturnType<typeof load>>;

  interface Row {
    self: number;
    retained: number;
    distance: number;
    retainers: string[];
  }

  /** What DevTools' tables show of each node. */
  function rows(s: Loaded): Map<string, Row> {
    const out = new Map<string, Row>();
    for (let i = 0; i < s.nodeCount; i++) {
      const node = s.createNode(i * s.nodeFieldCount);
      const retainers: string[] = [];
      for (const it = node.retainers(); it.hasNext(); it.next()) {
        const edge = it.item();
        retainers.push(`${edge.node().name()}[${edge.name()}]`);
      }
      out.set(node.name(), {
        self: node.selfSize(),
        retained: node.retainedSize(),
        distance: node.distance(),
        retainers: retainers.sort(),
      });
    }
    return out;
  }

  const at: Record<string, number> = Object.fromEntries(
    [..."abcdefghijk"].map((name, i) => [name, 0x10000 + 0x100 * i]),
  );
  const nameOf = (d: HeapDump, i: number): string | undefined =>
    Object.keys(at).find((name) => at[name] === d.addresses[i]);

  /** Sizes are 16 for a, 24 for b, ...: a sum tells which ones are in it. */
  function known(without = ""): HeapDump {
    const edges: Record<string, string> = {
      a: "bc", // held by (refs)
      b: "d",
      c: "d",
      d: "ae", // back to a
      e: "",
      f: "e", // held by a goroutine, as is e then
      g: "h", // garbage from here on: a head,
      h: "ij", // a cycle of two,
      i: "h",
      j: "",
      k: "k", // and one that points to itself
    };
    return readHeapDump(
      write((w) => {
        w.params(params);
        for (const [i, [name, to]] of Object.entries(edges).entries()) {
          if (without.includes(name)) continue;
          const pointers = [...to].map((t) => (without.includes(t) ? 0 : at[t]));
          w.object(at[name], contents(i + 2, pointers), offsets(to.length));
        }
        w.root("refs", at.a);
        const g = { address: 5, id: 5, status: 4, isSystem: false, isBackground: false, waitSince: 0 };
        w.goroutine({ ...g, waitReason: "select" }, 0x400);
        w.frame({ sp: 0x400, depth: 0, name: "main.f", contents: contents(1, [at.f]), pointers: [0] });
      }),
    );
  }

  it("has the retained sizes, distances and retainers of a known graph", async () => {
    const s = await load(known(), { nameOf });
    const got = rows(s);
    const row = (name: string): unknown[] => {
      const { self, retained, distance, retainers } = got.get(name)!;
      return [self, retained, distance, ...retainers];
    };
    expect(s.totalSize).toBe(16 + 24 + 32 + 40 + 48 + 56 + 64 + 72 + 80 + 88 + 96);
    expect(got.get("")!.retained).toBe(s.totalSize);
    expect(row("(refs)")).toEqual([0, 16 + 24 + 32 + 40, 1, "[(refs)]"]);
    expect(row("a")).toEqual([16, 16 + 24 + 32 + 40, 2, "(refs)[0]", "d[0]"]);
    expect(row("b")).toEqual([24, 24, 3, "a[0]"]);
    expect(row("c")).toEqual([32, 32, 3, "a[8]"]);
    expect(row("d")).toEqual([40, 40, 4, "b[0]", "c[0]"]);
    expect(row("e")).toEqual([48, 48, 4, "d[8]", "f[0]"]);
    expect(row("goroutine 5 [select]")).toEqual([0, 56, 2, "(goroutines)[goroutine 5 [select]]"]);
    expect(row("f")).toEqual([56, 56, 3, "goroutine 5 [select][main.f+0]"]);
    expect(row("(garbage)")).toEqual([0, 64 + 72 + 80 + 88 + 96, 1, "[(garbage)]"]);
    expect(row("g")).toEqual([64, 64 + 72 + 80 + 88, 2, "(garbage)[0]"]);
    expect(row("h")).toEqual([72, 72 + 80 + 88, 3, "g[0]", "i[0]"]);
    expect(row("i")).toEqual([80, 80, 4, "h[0]"]);
    expect(row("j")).toEqual([88, 88, 4, "h[8]"]);
    expect(row("k")).toEqual([96, 96, 2, "(garbage)[1]", "k[0]"]);
  });

  it("compares two dumps of a process by address", async () => {
    const changes = Object.values(
      await diff(await load(known("bj"), { nameOf }), await load(known("ce"), { nameOf })),
    ) as { name: string; addedCount: number; removedCount: number; sizeDelta: number }[];
    const changed = changes.map((c) => [c.name, c.addedCount, c.removedCount, c.sizeDelta]).sort();
    expect(changed).toEqual([
      ["b", 1, 0, 24],
      ["c", 0, 1, -32],
      ["e", 0, 1, -48],
      ["j", 1, 0, 88],
    ]);
  });

  it("loads a dump of Go: it reaches every object, and counts each object once", async () => {
    const dump = readHeapDump(goDump());
    const s = await load(dump);
    const total = dump.sizes.reduce((a, b) => a + b, 0);
    expect(s.totalSize).toBe(total);
    expect(s.createNode(0).retainedSize()).toBe(total);
    const list: number[] = [];
    let held = 0;
    for (let i = 1; i < s.nodeCount; i++) {
      const node = s.createNode(i * s.nodeFieldCount);
      expect(node.distance()).toBeGreaterThan(0);
      if (node.distance() === 1) held += node.retainedSize();
      if (node.selfSize() === 896) list.push(node.retainedSize());
    }
    expect(held).toBeLessThanOrEqual(total);
    // The list of 50, and one object of its size: each of the list retains what comes after it.
    expect(list.length).toBe(51);
    list.sort((a, b) => a - b);
    for (let i = 2; i < list.length; i++) expect(list[i] - list[i - 1]).toBe(896);
  });
});
