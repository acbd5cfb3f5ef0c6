/**
 * The kernel's WebAssembly module, assembled here: one function per entry of the table below, each a
 * handful of instructions over the imported memory. A module this small needs no build tool, compiles in
 * well under a millisecond and can be read in one sitting against the binary format's specification
 * (https://webassembly.github.io/spec/core/binary/).
 */

const I32 = 0x7f;

/** Unsigned LEB128. */
function uleb(n: number): number[] {
  const out: number[] = [];
  do {
    const byte = n & 0x7f;
    n >>>= 7;
    out.push(n === 0 ? byte : byte | 0x80);
  } while (n !== 0);
  return out;
}

function vec(items: number[][]): number[] {
  return [...uleb(items.length), ...items.flat()];
}

function section(id: number, body: number[]): number[] {
  return [id, ...uleb(body.length), ...body];
}

function name(s: string): number[] {
  const bytes = [...s].map((c) => c.charCodeAt(0));
  return [...uleb(bytes.length), ...bytes];
}

const localGet = (i: number): number[] => [0x20, i];
const i32Const0 = [0x41, 0x00];
const memoryFill = [0xfc, 0x0b, 0x00];
const memoryCopy = [0xfc, 0x0a, 0x00, 0x00];
/** 0xfe prefix, opcode, alignment exponent 2, offset 0. */
const atomic32 = (op: number): number[] => [0xfe, op, 0x02, 0x00];

interface Entry {
  readonly name: string;
  readonly params: number;
  readonly results: number;
  readonly body: number[];
}

const args = (n: number): number[] => Array.from({ length: n }, (_, i) => localGet(i)).flat();

const bulk: readonly Entry[] = [
  { name: "fill", params: 3, results: 0, body: [...args(3), ...memoryFill] },
  { name: "copy", params: 3, results: 0, body: [...args(3), ...memoryCopy] },
  {
    name: "zero",
    params: 2,
    results: 0,
    body: [...localGet(0), ...i32Const0, ...localGet(1), ...memoryFill],
  },
];

const atomics: readonly Entry[] = [
  { name: "load", params: 1, results: 1, body: [...args(1), ...atomic32(0x10)] },
  { name: "store", params: 2, results: 0, body: [...args(2), ...atomic32(0x17)] },
  { name: "add", params: 2, results: 1, body: [...args(2), ...atomic32(0x1e)] },
  { name: "and", params: 2, results: 1, body: [...args(2), ...atomic32(0x2c)] },
  { name: "or", params: 2, results: 1, body: [...args(2), ...atomic32(0x33)] },
  { name: "xchg", params: 2, results: 1, body: [...args(2), ...atomic32(0x41)] },
  { name: "cas", params: 3, results: 1, body: [...args(3), ...atomic32(0x48)] },
];

/** The module's bytes for a memory of `pages` pages of 64 KiB (its initial and its maximum size). */
export function assembleKernel(pages: number, shared: boolean): Uint8Array<ArrayBuffer> {
  const entries = [...bulk, ...atomics];
  const types = entries.map((e) => [
    0x60,
    ...vec(Array.from({ length: e.params }, () => [I32])),
    ...vec(Array.from({ length: e.results }, () => [I32])),
  ]);
  const limits = [shared ? 0x03 : 0x01, ...uleb(pages), ...uleb(pages)];
  const code = entries.map((e) => {
    const body = [0x00, ...e.body, 0x0b];
    return [...uleb(body.length), ...body];
  });
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vec(types)),
    ...section(2, vec([[...name("gort"), ...name("memory"), 0x02, ...limits]])),
    ...section(3, vec(entries.map((_, i) => uleb(i)))),
    ...section(7, vec(entries.map((e, i) => [...name(e.name), 0x00, ...uleb(i)]))),
    ...section(10, vec(code)),
  ]);
}
