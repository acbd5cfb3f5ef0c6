import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { Profile } from "pprof-format";
import { describe, expect, it } from "vitest";
import {
  decodeMessage,
  decodeProfile,
  encodeMessage,
  encodeProfile,
  ProfileFormatError,
  topText,
} from "../../src/pprof/index.ts";
import { program } from "../support/build.ts";
import { arbitraryProfile, plain, profileOf } from "../support/profiles.ts";

describe("decode and encode", () => {
  it("give back the same profile, packed or not", async () => {
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

  it("keep a name that begins with U+FEFF", () => {
    const p = profileOf([[["\uFEFFmain.a"], [1, 2], { note: "\uFEFFb" }]]);
    expect(plain(decodeMessage(encodeMessage(p)))).toEqual(p);
  });

  it("agree with pprof-format on the tables", () => {
    const bytes = encodeMessage(profileOf([[["main.a", "main.b"], [1, 2], { bytes: 16 }]]));
    const pb = Profile.decode(bytes);
    expect(pb.sample[0]).toMatchObject({ locationId: [1, 2], value: [1, 2] });
    expect(pb.function).toHaveLength(2);
  });

  it("find locations and functions by ids of every kind", () => {
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

  it("allow two iterations over the samples at a time, with the same locations", () => {
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
    // Top-level fields in reverse. Strings keep their order: they count as one field.
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

  it("reports a damaged gzip, and a gzip that unpacks to too much", async () => {
    const packed = gzipSync(good);
    await expect(decodeProfile(packed.subarray(0, 20))).rejects.toThrow(/^pprof: offset 0: gzip: /);
    const bomb = gzipSync(new Uint8Array(1 << 22));
    await expect(decodeProfile(bomb, { maxBytes: 1 << 20 })).rejects.toThrow(
      /the profile has more than 1048576 bytes/,
    );
    await expect(decodeProfile(good, { maxBytes: 10 })).rejects.toThrow(/more than 10/);
  });

  it("accepts bytes of another realm, and refuses other values", async () => {
    const foreign = runInNewContext("Uint8Array").from(good) as Uint8Array;
    expect(foreign instanceof Uint8Array).toBe(false);
    expect(encodeMessage(await decodeProfile(foreign))).toEqual(encodeMessage(await decodeProfile(good)));
    for (const bad of ["x", null, 5, [31], new DataView(new ArrayBuffer(8))])
      await expect(decodeProfile(bad as never)).rejects.toThrow(TypeError);
  });

  it("of random bytes ends fast with an error or a profile", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 4096 }),
      // A valid file with some bytes changed gets further than random bytes.
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
          // A profile that is accepted can be shown and written again.
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

  it("takes no more memory than twice the file, with any content", () => {
    // In a process of its own, whose heap has no room for objects: only typed arrays fit.
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

  it("takes no memory for lengths that the file only claims", () => {
    // 2 GB claimed by a string of a 10-byte file.
    expect(() => decodeMessage(Uint8Array.of(0x32, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 2, 3))).toThrow(
      /ends after its message/,
    );
  });
});
