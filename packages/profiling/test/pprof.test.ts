import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { Profile } from "pprof-format";
import { afterAll, describe, expect, it } from "vitest";
import {
  decodeMessage,
  decodeProfile,
  deltaProfile,
  diffProfiles,
  encodeMessage,
  encodeProfile,
  filterProfile,
  flameGraphHTML,
  formatValue,
  functionTotals,
  mergeProfiles,
  type PprofData,
  type PprofFunction,
  type PprofLocation,
  type PprofSample,
  ProfileFormatError,
  sampleIndex,
  scaleProfile,
  topText,
  tracesText,
  treeText,
} from "../src/pprof/index.ts";
import { program } from "./support/build.ts";
import { findGo, pprof } from "./support/go.ts";

const dir = mkdtempSync(join(tmpdir(), "pprof-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Samples that can be compared: those of a decoded profile are read when they are asked for. */
const plain = (p: PprofData) => ({ ...p, samples: [...p.samples] });

type Stack = [frames: string[], values: number[], labels?: Record<string, string | number>];

/** A profile from stacks, innermost first; a frame is "name" or "name@line". */
function profileOf(
  stacks: Stack[],
  more: Partial<Omit<PprofData, "samples">> = {},
): PprofData & { samples: PprofSample[] } {
  const mapping = {
    start: 0x400000,
    limit: 0x500000,
    offset: 0,
    file: "/app/main.js",
    buildId: "",
    hasFunctions: true,
    hasFilenames: true,
    hasLineNumbers: true,
    hasInlineFrames: true,
  };
  const functions = new Map<string, PprofFunction>();
  const locations = new Map<string, PprofLocation>();
  const location = (frame: string) => {
    const [name, line = "1"] = frame.split("@") as [string, string?];
    let fn = functions.get(name);
    if (fn === undefined) {
      functions.set(name, (fn = { name, systemName: name, file: `/app/${name}.ts`, startLine: 1 }));
    }
    let l = locations.get(frame);
    if (l === undefined) {
      const address = 0x400000 + 16 * locations.size;
      l = { mapping, address, lines: [{ function: fn, line: Number(line), column: 0 }], isFolded: false };
      locations.set(frame, l);
    }
    return l;
  };
  return {
    sampleTypes: [
      { type: "alloc_objects", unit: "count" },
      { type: "alloc_space", unit: "bytes" },
    ],
    defaultSampleType: "",
    samples: stacks.map(([frames, values, labels = {}]) => ({
      locations: frames.map(location),
      values,
      labels: Object.entries(labels).map(([key, v]) =>
        typeof v === "string" ? { key, str: v } : { key, num: v },
      ),
    })),
    mappings: [mapping],
    periodType: { type: "space", unit: "bytes" },
    period: 524288,
    timeNanos: 1_700_000_000_000_000_000n,
    durationNanos: 0n,
    comments: [],
    dropFrames: "",
    keepFrames: "",
    docUrl: "",
    ...more,
  };
}

const arbitraryProfile = fc
  .array(
    fc.tuple(
      fc.array(
        fc.integer({ min: 0, max: 11 }).map((n) => `main.f${n}@${n * 7 + 1}`),
        { minLength: 1, maxLength: 8 },
      ),
      fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 2 ** 32 })),
      fc.constantFrom<Record<string, string | number>>(
        {},
        { bytes: 48 },
        { job: "a b" },
        { job: "x", bytes: 4096 },
      ),
    ),
    { minLength: 1, maxLength: 30 },
  )
  .map((stacks) => profileOf(stacks as Stack[]));

describe("decode and encode", () => {
  it("give back what was put in, packed or not", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryProfile, async (profile) => {
        expect(plain(decodeMessage(encodeMessage(profile)))).toEqual(profile);
        expect(plain(await decodeProfile(await encodeProfile(profile)))).toEqual(profile);
      }),
      { numRuns: 100 },
    );
  });

  it("keep negative and large numbers, and every field", () => {
    const p = profileOf([[["main.a"], [-5, 2 ** 52], { n: -1, s: "" }]], {
      durationNanos: 123_456_789_012_345_678n,
      comments: ["one", "two"],
      dropFrames: "drop.*",
      keepFrames: "keep",
      docUrl: "https://example.com/doc",
      defaultSampleType: "alloc_space",
      period: -3,
    });
    p.samples[0].labels.push({ key: "latency", num: 0, unit: "ms" });
    expect(plain(decodeMessage(encodeMessage(p)))).toEqual(p);
  });

  it("agree with pprof-format on the tables", () => {
    const bytes = encodeMessage(profileOf([[["main.a", "main.b"], [1, 2], { bytes: 16 }]]));
    const pb = Profile.decode(bytes);
    expect(pb.sample[0]).toMatchObject({ locationId: [1, 2], value: [1, 2] });
    expect(pb.function).toHaveLength(2);
  });

  it("find locations and functions by whatever ids they have", () => {
    const p = profileOf([
      [
        ["main.a", "main.b", "main.c", "main.d"],
        [1, 2],
      ],
    ]);
    for (const ids of [
      [4, 3, 2, 1],
      [7, 2 ** 31, 2 ** 32 - 1, 9],
      [2 ** 32, 2 ** 32 + 1, 2 ** 52, 1],
    ]) {
      const pb = Profile.decode(encodeMessage(p));
      for (const l of pb.location) {
        l.line[0].functionId = ids[Number(l.line[0].functionId) - 1]!;
        l.id = ids[3 - (Number(l.id) - 1)]!;
      }
      for (const f of pb.function) f.id = ids[Number(f.id) - 1]!;
      const [sample] = pb.sample;
      sample.locationId = sample.locationId.map((id) => ids[3 - (Number(id) - 1)]);
      expect(plain(decodeMessage(pb.encode()))).toEqual(p);
    }
  });

  it("can go through samples twice at a time, over the same locations", () => {
    const back = decodeMessage(
      encodeMessage(
        profileOf([
          [["main.a"], [1, 2]],
          [["main.a"], [3, 4]],
        ]),
      ),
    );
    expect(back.samples.length).toBe(2);
    const [first, second] = [...back.samples];
    expect(first.locations[0]).toBe(second.locations[0]);
    for (const a of back.samples) {
      for (const b of back.samples) expect(a.locations[0]).toBe(b.locations[0]);
    }
  });

  it("read tables in any order, as protobuf allows", () => {
    const p = profileOf([[["main.a"], [1, 2]]]);
    const bytes = encodeMessage(p);
    // Top-level fields turned around: strings keep their order, as one field.
    const fields: [number, Uint8Array][] = [];
    for (let at = 0; at < bytes.length; ) {
      const start = at;
      const tag = bytes[at++];
      let n = 0;
      for (let shift = 0; ; shift += 7) {
        n |= (bytes[at] & 127) << shift;
        if (bytes[at++] < 128) break;
      }
      if ((tag & 7) === 2) at += n;
      fields.push([tag >> 3, bytes.subarray(start, at)]);
    }
    const strings = fields.filter(([f]) => f === 6);
    const others = fields.filter(([f]) => f !== 6).reverse();
    const turned = Buffer.concat([...others, ...strings].map(([, b]) => b));
    const back = decodeMessage(turned);
    expect([...back.samples]).toEqual(p.samples);
    expect(back.timeNanos).toBe(p.timeNanos);
  });
});

describe("a corrupted profile", () => {
  const good = encodeMessage(profileOf([[["main.a", "main.b"], [1, 2], { bytes: 16, job: "x" }]]));
  const broken = (f: (pb: Profile) => void): Uint8Array => {
    const pb = Profile.decode(good);
    f(pb);
    return pb.encode();
  };

  it.each<[string, () => Uint8Array, RegExp]>([
    ["nothing", () => new Uint8Array(), /^pprof: offset 0: an empty file is no profile$/],
    ["text", () => new TextEncoder().encode("goroutine profile: total 1\n"), /^pprof: offset \d+: /],
    [
      "a cut",
      () => good.subarray(0, good.length - 3),
      /^pprof: offset \d+: field \d+ of \d+ bytes ends after its message/,
    ],
    [
      "an endless number",
      () => new Uint8Array(12).fill(255),
      /^pprof: offset 0: a number has more than 10 bytes$/,
    ],
    ["a group", () => Uint8Array.of(0x0b), /bad wire type 3/],
    [
      "a location that isn't there",
      () => broken((p) => (p.sample[0].locationId[0] = 99)),
      /location 99 doesn't exist/,
    ],
    [
      "a function that isn't there",
      () => broken((p) => (p.location[0].line[0].functionId = 77)),
      /function 77 doesn't exist/,
    ],
    [
      "a string that isn't there",
      () => broken((p) => (p.function[0].name = 1000)),
      /string 1000 doesn't exist, there are \d+/,
    ],
    [
      "a mapping that isn't there",
      () => broken((p) => (p.location[0].mappingId = 5)),
      /mapping 5 doesn't exist/,
    ],
    [
      "a value too few",
      () => broken((p) => p.sample[0].value.pop()),
      /a sample has 1 values for 2 sample types/,
    ],
    ["two of one id", () => broken((p) => (p.location[1].id = 1)), /there are two of location 1/],
    ["no id", () => broken((p) => (p.location[1].id = 0)), /a location without an id/],
    [
      "two of one id, which is none of 1, 2, 3",
      () => broken((p) => (p.location[0].id = p.location[1].id = 2n ** 40n)),
      /there are two of location 1099511627776/,
    ],
    [
      "thousands of sample types",
      () => Buffer.concat([good, ...new Array(2000).fill(Uint8Array.of(0x0a, 0))]),
      /more than 1024 sample types/,
    ],
  ])("with %s says what is wrong, and where", (_what, make, message) => {
    expect(() => decodeMessage(make())).toThrow(ProfileFormatError);
    expect(() => decodeMessage(make())).toThrow(message);
  });

  it("names a damaged gzip, and a bomb", async () => {
    const packed = gzipSync(good);
    await expect(decodeProfile(packed.subarray(0, 20))).rejects.toThrow(/^pprof: offset 0: gzip: /);
    const bomb = gzipSync(new Uint8Array(1 << 22));
    await expect(decodeProfile(bomb, { maxBytes: 1 << 20 })).rejects.toThrow(
      /the profile has more than 1048576 bytes/,
    );
    await expect(decodeProfile(good, { maxBytes: 10 })).rejects.toThrow(/more than 10/);
  });

  it("takes the bytes of another realm, and nothing that is no bytes", async () => {
    const foreign = runInNewContext("Uint8Array").from(good) as Uint8Array;
    expect(foreign instanceof Uint8Array).toBe(false);
    expect(encodeMessage(await decodeProfile(foreign))).toEqual(encodeMessage(await decodeProfile(good)));
    for (const bad of ["x", null, 5, [31], new DataView(new ArrayBuffer(8))])
      await expect(decodeProfile(bad as never)).rejects.toThrow(TypeError);
  });

  it("of random bytes ends with an error or a profile, fast, whatever they are", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 4096 }),
      // A good file with some bytes changed reaches further.
      fc
        .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
        .map((changes) => {
          const copy = good.slice();
          for (const [at, value] of changes) copy[at] = value;
          return copy;
        }),
    );
    fc.assert(
      fc.property(bytes, (b) => {
        const before = process.cpuUsage();
        try {
          const p = decodeMessage(b);
          // What was accepted can be shown and written again.
          topText(p);
          encodeMessage(p);
        } catch (error) {
          if (!(error instanceof ProfileFormatError)) throw error;
          expect(error.offset).toBeGreaterThanOrEqual(0);
          expect(error.offset).toBeLessThanOrEqual(b.length);
        }
        expect(process.cpuUsage(before).user).toBeLessThan(1e6);
      }),
      { numRuns: 2000 },
    );
  });

  it("takes no more memory than twice the file, whatever is in it", () => {
    // In a process of its own, whose heap has no room for objects: all but typed arrays would end it.
    const app = program(
      {
        "main.ts": `
import { decodeMessage } from "@gort/profiling/pprof";
const collect = (globalThis as { gc?: () => void }).gc!;
const varint = (n: number): number[] => {
  const out: number[] = [];
  for (; n >= 128; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return [...out, n];
};
/** A file of n entries, after its first strings and a sample type. */
function file(n: number, entry: (i: number) => number[]): Uint8Array {
  const parts = [0x32, 0, 0x0a, 0];
  const out = Buffer.alloc(parts.length + n * 12);
  let at = Buffer.from(parts).copy(out);
  for (let i = 1; i <= n; i++) at += Buffer.from(entry(i)).copy(out, at);
  return out.subarray(0, at);
}
const message = (field: number, bytes: number[]): number[] => [field * 8 + 2, ...varint(bytes.length), ...bytes];
const n = 300_000;
const files: Record<string, Uint8Array> = {
  strings: file(n, () => [0x32, 0]),
  locations: file(n, (i) => message(4, [8, ...varint(i)])),
  "locations backwards": file(n, (i) => message(4, [8, ...varint(n + 1 - i)])),
  "locations with large ids": file(n, (i) => message(4, [8, ...varint(2 ** 34 + ((i * 7919) % n))])),
  functions: file(n, (i) => message(5, [8, ...varint(n + 1 - i)])),
  mappings: file(n, (i) => message(3, [8, ...varint(i)])),
  samples: file(n, () => message(2, [16, 1])),
  comments: file(n, () => [13 * 8, 0]),
};
const held = () => {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
const ratios: Record<string, number> = {};
for (const [what, bytes] of Object.entries(files)) {
  const before = held();
  const profile = decodeMessage(bytes);
  ratios[what] = (held() - before) / bytes.length;
  if (profile.samples.length !== (what === "samples" ? n : 0)) throw new Error(what);
}
console.log(JSON.stringify(ratios));
`,
      },
      { nodeArgs: ["--expose-gc", "--max-old-space-size=16", "--max-semi-space-size=1"] },
    );
    try {
      const ratios = app.json<Record<string, number>>();
      expect(Object.keys(ratios)).toHaveLength(8);
      for (const [what, ratio] of Object.entries(ratios)) expect(ratio, what).toBeLessThan(2.1);
    } finally {
      app.remove();
    }
  });

  it("takes no memory for lengths that it only claims", () => {
    // 2 GB claimed by a string of a 10-byte file.
    expect(() => decodeMessage(Uint8Array.of(0x32, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 2, 3))).toThrow(
      /ends after its message/,
    );
  });
});

describe("merge, scale and compare", () => {
  it("adds up equal stacks, also of different runs", () => {
    const a = profileOf([
      [
        ["main.a", "main.b"],
        [1, 10],
      ],
      [["main.c"], [2, 20]],
    ]);
    const b = profileOf(
      [
        [["main.c"], [5, 50]],
        [["main.d"], [1, 1]],
        [
          ["main.a", "main.b"],
          [1, 10],
        ],
      ],
      {
        durationNanos: 5n,
        timeNanos: 1n,
      },
    );
    const sum = mergeProfiles([a, b]);
    expect(functionTotals(sum).map((f) => [f.name, f.flat])).toEqual([
      ["main.c", 70],
      ["main.a", 20],
      ["main.d", 1],
      ["main.b", 0],
    ]);
    expect(sum.timeNanos).toBe(1n);
    expect(sum.durationNanos).toBe(5n);
    expect(decodeMessage(encodeMessage(sum)).samples).toHaveLength(3);
  });

  it("keeps labels apart", () => {
    const a = profileOf([
      [["main.a"], [1, 1], { job: "x" }],
      [["main.a"], [1, 1], { job: "y" }],
    ]);
    expect(mergeProfiles([a, a]).samples).toHaveLength(2);
  });

  it("refuses profiles of different kinds, and none", () => {
    const a = profileOf([]);
    const b = profileOf([], { sampleTypes: [{ type: "cpu", unit: "nanoseconds" }] });
    expect(() => mergeProfiles([a, b])).toThrow(
      /different kinds: alloc_objects\/count alloc_space\/bytes, and cpu\/nanoseconds/,
    );
    expect(() => mergeProfiles([])).toThrow(/nothing to merge/);
    expect(() => scaleProfile(a, Number.NaN)).toThrow(/scale needs a number, or 2 of them/);
    expect(() => sampleIndex(a, "nope")).toThrow(
      /sample type "nope" isn't one of alloc_objects, alloc_space/,
    );
  });

  it("takes the base away, and nothing is left of what didn't change", () => {
    fc.assert(
      fc.property(arbitraryProfile, arbitraryProfile, (a, b) => {
        expect(diffProfiles(a, a).samples).toEqual([]);
        const back = mergeProfiles([diffProfiles(a, b), b]);
        const totals = (p: PprofData) => new Map(functionTotals(p).map((f) => [f.name, f.flat]));
        const want = totals(mergeProfiles([a]));
        for (const [name, flat] of totals(back)) expect(flat).toBe(want.get(name) ?? 0);
      }),
      { numRuns: 50 },
    );
  });

  it("gives the delta the time between", () => {
    const a = profileOf([[["main.a"], [1, 10]]], { timeNanos: 100n });
    const b = profileOf([[["main.a"], [4, 40]]], { timeNanos: 700n });
    const d = deltaProfile(a, b);
    expect([...d.samples].map((s) => s.values)).toEqual([[3, 30]]);
    expect([d.timeNanos, d.durationNanos]).toEqual([700n, 600n]);
  });

  it("filters samples by frames and labels, and frames by name or file", () => {
    const p = profileOf([
      [["main.a", "lib.x", "main.main"], [1, 1], { job: "x" }],
      [["main.b", "main.main"], [2, 2], { bytes: 16 }],
    ]);
    const leaves = (q: PprofData) =>
      [...q.samples].map((s) => s.locations.map((l) => l.lines[0].function.name).join(" "));
    expect(leaves(filterProfile(p, { focus: /lib/g }))).toEqual(["main.a lib.x main.main"]);
    expect(leaves(filterProfile(p, { ignore: /lib/ }))).toEqual(["main.b main.main"]);
    expect(leaves(filterProfile(p, { hide: /^lib/ }))).toEqual(["main.a main.main", "main.b main.main"]);
    expect(leaves(filterProfile(p, { show: /main$/ }))).toEqual(["main.main", "main.main"]);
    expect(leaves(filterProfile(p, { tagFocus: /job:x/ }))).toHaveLength(1);
    expect(leaves(filterProfile(p, { tagIgnore: /bytes:16/ }))).toEqual(["main.a lib.x main.main"]);
    expect(leaves(filterProfile(p, { focus: /\/app\/main\.b\.ts/ }))).toEqual(["main.b main.main"]);
    expect(p.samples[0].locations).toHaveLength(3);
  });
});

describe("reports", () => {
  it("scale values as pprof does", () => {
    expect(formatValue(1024, "bytes")).toBe("1kB");
    expect(formatValue(1_500_000, "nanoseconds")).toBe("1.50ms");
    expect(formatValue(-3 * 2 ** 20, "bytes")).toBe("-3MB");
    expect(formatValue(7, "count")).toBe("7");
    expect(formatValue(0, "bytes")).toBe("0");
    expect(formatValue(5400e9, "nanoseconds", "hrs")).toBe("1.50hrs");
  });

  it("count a recursive function once a sample", () => {
    const p = profileOf([
      [
        ["main.f@3", "main.f@3", "main.f@9", "main.main"],
        [1, 100],
      ],
    ]);
    expect(functionTotals(p)).toEqual([
      { name: "main.f", flat: 100, cum: 100 },
      { name: "main.main", flat: 0, cum: 100 },
    ]);
  });

  const go = findGo();
  it.skipIf(go === null)("are those of go tool pprof, character by character (skipped without Go)", () => {
    const profiles: PprofData[] = fc.sample(arbitraryProfile, { numRuns: 6, seed: 42 });
    profiles.push(
      profileOf([
        [["main.a"], [1, 100]],
        [
          ["main.b", "main.a"],
          [3, 1e12],
        ],
        [
          ["main.c", "main.b"],
          [1, 1e9],
        ],
      ]),
      profileOf([
        [["main.small"], [1, 1]],
        [["main.big"], [1, 1e6]],
      ]),
      profileOf([[["main.run"], [10, 123_456_789]]], {
        sampleTypes: [
          { type: "samples", unit: "count" },
          { type: "cpu", unit: "nanoseconds" },
        ],
        durationNanos: 2_500_000_000n,
      }),
      diffProfiles(profiles[0], profiles[1]),
    );
    const file = join(dir, "p.pb");
    for (const p of profiles) {
      writeFileSync(file, encodeMessage(p));
      // How a time is written differs between releases of Go.
      const untimed = (text: string) => text.replace(/^Time: .*$/m, "Time:");
      const goSays = (...args: string[]) => untimed(pprof(go!, ...args, file));
      expect(untimed(topText(p))).toBe(goSays("-top"));
      expect(
        untimed(
          topText(p, {
            sampleType: "alloc_objects" === p.sampleTypes[0].type ? "alloc_objects" : "samples",
          }),
        ),
      ).toBe(goSays("-top", "-sample_index=0"));
      expect(
        untimed(topText(p, { cum: true, nodeCount: 4 }))
          .split("\n")
          .slice(-6),
      ).toEqual(goSays("-top", "-cum", "-nodecount=4").split("\n").slice(-6));
      expect(untimed(treeText(p))).toBe(goSays("-tree"));
      expect(untimed(tracesText(p))).toBe(goSays("-traces"));
    }
  });
});

describe("the flame graph", () => {
  const evil = "main.</script><b>&\u2028";
  const p = profileOf([
    [
      ["main.a", evil, "main.main"],
      [1, 300],
    ],
    [
      ["main.b", "main.main"],
      [2, 100],
    ],
  ]);

  it("is one page without anything from outside, and text can't break out of it", () => {
    const html = flameGraphHTML(p, { title: "A <title> & more" });
    expect(html).toContain("<title>A &#60;title&#62; &#38; more</title>");
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(html).not.toMatch(/(?:src|href)\s*=/);
    expect(html).not.toContain(evil);
    const data = JSON.parse(/id="data">([^<]*)</.exec(html)![1]);
    expect(data.frames.some(([name]: [string]) => name === evil)).toBe(true);
    expect(data.tree[1]).toEqual([3, 400]);
    expect(data.first).toBe(1);
  });

  it("leaves out what is too narrow to see, and nothing else", () => {
    const many = profileOf([
      [["main.a"], [1, 1]],
      [["main.b"], [1, 1e9]],
    ]);
    const data = JSON.parse(/id="data">([^<]*)</.exec(flameGraphHTML(scaleProfile(many, [0, 1])))![1]);
    expect(data.tree[2]).toHaveLength(1);
  });

  it("draws, zooms, searches and changes the sample type", () => {
    const { elements, frames } = openPage(flameGraphHTML(p));
    const nameOf = (f: FakeElement) => f.title.split("  ")[0];
    const names = () => frames().map(nameOf);
    expect(names()).toEqual(["all", "main.main", evil, "main.b", "main.a"]);
    expect(frames()[0].textContent).toBe("all  400B (100.00%)");
    const frame = (name: string) => frames().find((f) => nameOf(f) === name)!;
    const width = (name: string) => Number(/width:([\d.]+)px/.exec(frame(name).style.cssText)![1]);
    expect(width("main.b") / width("main.main")).toBeCloseTo(100 / 400);
    elements.type.value = "0";
    elements.type.onchange!();
    expect(width("main.b") / width("main.main")).toBeCloseTo(2 / 3);
    frame("main.b").onclick!();
    expect(names()).toEqual(["all", "main.main", "main.b"]);
    expect(elements.info.textContent).toBe("main.b  2 (66.67%, 100.00% of main.b), own 2  /app/main.b.ts:1");
    elements.reset.onclick!();
    elements.search.value = "^main\\.b$";
    elements.search.oninput!();
    expect(
      frames()
        .filter((f) => f.className.includes("match"))
        .map(nameOf),
    ).toEqual(["main.b"]);
    expect(elements.found.textContent).toBe("2 (66.67%)");
    elements.search.value = "(";
    elements.search.oninput!();
    expect(elements.search.error).toMatch(/regular expression/);
  });

  it("is walked with the keys", () => {
    const { elements, frames } = openPage(flameGraphHTML(p));
    const press = (key: string) => elements.graph.onkeydown!({ key, preventDefault: () => {} });
    const at = () => elements.info.textContent.split("  ")[0];
    press("ArrowDown");
    expect(at()).toBe("all");
    press("ArrowDown");
    press("ArrowDown");
    expect(at()).toBe(evil);
    press("ArrowRight");
    expect(at()).toBe("main.b");
    press("ArrowRight");
    expect(at()).toBe("main.b");
    press("ArrowLeft");
    press("ArrowUp");
    expect(at()).toBe("main.main");
    press("ArrowDown");
    press("Enter");
    expect(frames().map((f) => f.title.split("  ")[0])).toEqual(["all", "main.main", evil, "main.a"]);
    press("Escape");
    expect(frames()).toHaveLength(5);
    press("Enter");
    press("Home");
    expect(frames()).toHaveLength(5);
  });

  it("shortens names that have no room, and colours a difference by its sign", () => {
    const long = "github.com/someone/a-rather-long-name/pkg.(*Server).handle";
    const { frames } = openPage(
      flameGraphHTML(
        profileOf([
          [[long], [1, 30]],
          [["main.more"], [1, 70]],
          [["main.less"], [-5, -30]],
        ]),
      ),
    );
    const label = (name: string) => frames().find((f) => f.title.startsWith(name))!;
    expect(label(long).textContent).toBe("pkg.(*Server).handle");
    expect(label("main.more").style.cssText).toContain("hsl(8 ");
    expect(label("main.less").style.cssText).toContain("hsl(212 ");
  });

  it("says so when there is nothing to show", () => {
    const { elements, frames } = openPage(flameGraphHTML(profileOf([])));
    expect(frames()).toEqual([]);
    expect(elements.graph.textContent).toBe("This profile has no samples.");
  });

  it("survives stacks of a hundred thousand frames, of which it draws a thousand", () => {
    const deep = profileOf([[Array.from({ length: 100_000 }, (_, i) => `main.f${i % 10}`), [1, 1]]]);
    const html = flameGraphHTML(deep);
    expect(html.length).toBeGreaterThan(1_000_000);
    const { elements, frames } = openPage(html);
    expect(frames()).toHaveLength(1001);
    expect(elements.info.textContent).toMatch(/deeper frames: zoom in/);
    frames()[900].onclick!();
    expect(frames()).toHaveLength(1901);
  });
});

interface FakeElement {
  id: string;
  value: string;
  textContent: string;
  className: string;
  error?: string;
  style: { cssText: string };
  children: FakeElement[];
  title: string;
  onclick?: () => void;
  onchange?: () => void;
  oninput?: () => void;
  onkeydown?: (e: { key: string; preventDefault(): void }) => void;
}

/** Runs the page's script with just enough of a document. */
function openPage(html: string): { elements: Record<string, FakeElement>; frames(): FakeElement[] } {
  const make = (id = ""): FakeElement => {
    const e = {
      id,
      value: "",
      className: "",
      style: { cssText: "" },
      clientWidth: 1000,
      children: [] as FakeElement[],
      text: "",
      get textContent() {
        return e.text;
      },
      set textContent(text: string) {
        e.text = text;
        e.children = [];
      },
      append: (child: FakeElement) => e.children.push(child),
      classList: { add: () => {}, remove: () => {} },
      scrollIntoView: () => {},
      setCustomValidity(message: string) {
        (e as unknown as FakeElement).error = message;
      },
    };
    return e as unknown as FakeElement;
  };
  const elements: Record<string, FakeElement> = {};
  for (const [, id] of html.matchAll(/ id="(\w+)"/g)) elements[id] = make(id);
  elements.data.textContent = /id="data">([^<]*)</.exec(html)![1]!;
  const script = /<script>([\s\S]*)<\/script>/.exec(html)![1];
  runInNewContext(script, {
    document: { getElementById: (id: string) => elements[id], createElement: () => make() },
    window: { addEventListener: () => {} },
    Option: class {},
  });
  return { elements, frames: () => elements.graph.children };
}
