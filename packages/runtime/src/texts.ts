/**
 * Texts that all threads of a runtime know by number: identities of tasks, places of `go` calls. A text is stored once,
 * for ever, so these must be few.
 *
 *     head -> TEXT -> TEXT -> ... -> 0
 *     TEXT   0  next    4  length, in UTF-16 code units    8  the code units
 *
 * The number of a text is the address of its TEXT. The list only grows at its head, by a cas on a complete TEXT. A
 * thread that loses the race looks at the new ones, and tries again. So equal texts have one number, and readers need
 * no lock. Each thread keeps what it has looked up.
 */

import { outOfMemory } from "@gort/base";
import type { LinearMemory } from "@gort/memory";

const NEXT = 0;
const LENGTH = 4;
const UNITS = 8;

export class Texts {
  readonly #mem: LinearMemory;
  readonly #head: number;
  /** The newest TEXT that this thread has looked at. */
  #seen = 0;
  readonly #numbers = new Map<string, number>();
  readonly #texts = new Map<number, string>();

  /** @param head address of the list's head, a word that is 0 at first */
  constructor(mem: LinearMemory, head: number) {
    this.#mem = mem;
    this.#head = head;
  }

  numberOf(text: string): number {
    return this.#numbers.get(text) ?? this.#add(text);
  }

  textOf(number: number): string {
    let text = this.#texts.get(number);
    if (text === undefined) {
      this.#look();
      text = this.#texts.get(number);
      if (text === undefined) throw new RangeError(`runtime: no text has the number ${number}`);
    }
    return text;
  }

  /** Reads the texts that other threads have added. Returns the head of the list. */
  #look(): number {
    const { kernel, u16, u32 } = this.#mem;
    const head = kernel.load(this.#head) >>> 0;
    for (let at = head; at !== this.#seen; at = u32[(at + NEXT) >>> 2]) {
      const first = (at + UNITS) >>> 1;
      const n = u32[(at + LENGTH) >>> 2];
      let text = "";
      for (let i = 0; i < n; i++) text += String.fromCharCode(u16[first + i]);
      this.#numbers.set(text, at);
      this.#texts.set(at, text);
    }
    this.#seen = head;
    return head;
  }

  #add(text: string): number {
    const { kernel, u16, u32 } = this.#mem;
    let head = this.#look();
    const found = this.#numbers.get(text);
    if (found !== undefined) return found;
    const at = this.#mem.persistentAlloc(UNITS + 2 * text.length, 8, "otherSys");
    if (at === 0) outOfMemory(`runtime: no memory for a text of ${text.length} characters`);
    u32[(at + LENGTH) >>> 2] = text.length;
    for (let i = 0; i < text.length; i++) u16[((at + UNITS) >>> 1) + i] = text.charCodeAt(i);
    for (;;) {
      u32[(at + NEXT) >>> 2] = head;
      if (kernel.cas(this.#head, head, at) >>> 0 === head) break;
      head = this.#look();
      const other = this.#numbers.get(text);
      // Another thread has added it first. Ours is lost, which happens once for a text at most.
      if (other !== undefined) return other;
    }
    this.#look();
    return at;
  }
}
