// A text of words, and the count of each word: the twin of go/words.go.
import type { Runtime } from "@gort/runtime";

type Memory = Runtime["memory"];

const SPACE = 32;
const WORDS = 4000;
/** Slots of a table of counts: a power of two. A slot is the hash of a word and its count. */
const SLOTS = 2 ** 13;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Words in a table of counts: two for each slot. */
export const TABLE_WORDS = 2 * SLOTS;

const next = (x: number): number => (Math.imul(x, 1664525) + 1013904223) >>> 0;

/** Fills n bytes with words and spaces, the same in every run and on Go's side. Frequent words are short. */
export function writeText({ u8 }: Memory, addr: number, n: number): void {
  const words: Uint8Array[] = [];
  let x = 12345;
  for (let w = 0; w < WORDS; w++) {
    const word = new Uint8Array(2 + Math.floor((10 * w) / WORDS) + 1);
    for (let i = 0; i < word.length - 1; i++) {
      x = next(x);
      word[i] = 97 + ((x >>> 24) % 26);
    }
    word[word.length - 1] = SPACE;
    words.push(word);
  }
  const end = addr + n;
  for (let at = addr; at < end; ) {
    x = next(x);
    const r = x >>> 16;
    const word = words[Math.floor((Math.floor((r * r) / 65536) * WORDS) / 65536)];
    for (let i = 0; i < word.length && at < end; i++) u8[at++] = word[i];
  }
}

/** The first place from `at` on where a part of the text may begin: behind a space, or the end. */
export function wordBegin({ u8 }: Memory, addr: number, n: number, at: number): number {
  while (at > 0 && at < n && u8[addr + at - 1] !== SPACE) at++;
  return at;
}

/** Counts the words of n bytes in the table at `counts`. Words with the same hash count as one. */
export function countWords({ u8, u32 }: Memory, addr: number, n: number, counts: number): void {
  const table = counts >>> 2;
  const end = addr + n;
  for (let at = addr; at < end; ) {
    let h = FNV_OFFSET;
    let b = u8[at++];
    if (b === SPACE) continue;
    while (b !== SPACE) {
      h = Math.imul(h ^ b, FNV_PRIME);
      if (at === end) break;
      b = u8[at++];
    }
    h >>>= 0;
    let slot = h & (SLOTS - 1);
    while (u32[table + 2 * slot + 1] !== 0 && u32[table + 2 * slot] !== h) slot = (slot + 1) & (SLOTS - 1);
    u32[table + 2 * slot] = h;
    u32[table + 2 * slot + 1]++;
  }
}

/** The check: how many words there are, how many different ones, and how often the most frequent one occurs. */
export function wordTotals({ u32 }: Memory, counts: number, tables: number): string {
  const all = new Map<number, number>();
  for (let i = counts >>> 2, end = i + tables * TABLE_WORDS; i < end; i += 2) {
    if (u32[i + 1] !== 0) all.set(u32[i], (all.get(u32[i]) ?? 0) + u32[i + 1]);
  }
  const ns = [...all.values()];
  return `${ns.reduce((sum, n) => sum + n, 0)} ${ns.length} ${Math.max(...ns)}`;
}
