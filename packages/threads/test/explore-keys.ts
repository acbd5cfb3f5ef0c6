/** The set of states that the explorer has visited: hashes of 64 bits. */

/** States of a key. */
const UNKNOWN = 0;
export const OPEN = 1;
export const DONE = 2;

/** Keys of 64 bits, each with a state. */
export class Keys {
  size = 0;
  /** Per slot: the halves of the key, and the state; UNKNOWN in a free slot. */
  private slots = new Uint32Array(1 << 16);

  get(high: number, low: number): number {
    return this.slots[this.find(high, low) + 2];
  }

  set(high: number, low: number, state: number): void {
    if (8 * this.size > this.slots.length) this.grow();
    const at = this.find(high, low);
    if (this.slots[at + 2] === UNKNOWN) this.size++;
    this.slots[at] = high;
    this.slots[at + 1] = low;
    this.slots[at + 2] = state;
  }

  /** The slot of the key, or the one that it would have. */
  private find(high: number, low: number): number {
    const { slots } = this;
    const mask = slots.length - 1;
    let at = (low << 2) & mask;
    while (slots[at + 2] !== UNKNOWN && (slots[at] !== high || slots[at + 1] !== low)) at = (at + 4) & mask;
    return at;
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Uint32Array(2 * old.length);
    this.size = 0;
    for (let at = 0; at < old.length; at += 4) {
      if (old[at + 2] !== UNKNOWN) this.set(old[at], old[at + 1], old[at + 2]);
    }
  }
}

export function mix(a: number, b: number, seed: number): number {
  let h = Math.imul(a ^ seed, 0x9e3779b1) ^ Math.imul(b + seed, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return h ^ (h >>> 15);
}
