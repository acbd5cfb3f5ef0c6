/** Texts and long bigints as bytes, and back, without loss. */

const encoder = new TextEncoder();

/** With the flag `u` a surrogate of a pair is no character of its own: so this finds lone ones. */
const loneSurrogate = /[\ud800-\udfff]/u;

/** Characters that one call of String.fromCharCode gets: more would overflow the stack of some engines. */
const CHUNK = 4096;

/** Whether UTF-8 can hold the text: it has no lone surrogates. */
export function wellFormed(text: string): boolean {
  // Hosts without the method need 40 ns a character.
  const { isWellFormed } = text as { isWellFormed?: () => boolean };
  return isWellFormed === undefined ? !loneSurrogate.test(text) : isWellFormed.call(text);
}

/** A buffer larger than this is dropped after its use. */
const KEPT = 64 << 10;

/**
 * The bytes of several values, one after the other, each from a multiple of 8. One buffer serves all: a TextEncoder
 * that makes an array for each text takes 20 times as long.
 */
export class ByteBuffer {
  private buffer = new Uint8Array(1024);
  /** Bytes so far, a multiple of 8. */
  length = 0;

  /** The bytes. They are valid until the next change. */
  get bytes(): Uint8Array {
    return this.buffer;
  }

  /** Forgets all values. */
  clear(): void {
    this.length = 0;
    if (this.buffer.length > KEPT) this.buffer = new Uint8Array(1024);
  }

  /** Appends a text as UTF-8, or as UTF-16 with the low byte first. Returns the number of its bytes. */
  addText(text: string, utf16: boolean): number {
    const at = this.reserve(3 * text.length);
    if (!utf16) return this.added(encoder.encodeInto(text, this.buffer.subarray(at)).written);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      this.buffer[at + 2 * i] = unit;
      this.buffer[at + 2 * i + 1] = unit >>> 8;
    }
    return this.added(2 * text.length);
  }

  /** Appends bytes. Returns their number. */
  add(bytes: Uint8Array): number {
    // A larger buffer may take the place of the old one.
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
    return this.added(bytes.length);
  }

  /** Makes room for n bytes and their padding, and returns their place. */
  private reserve(n: number): number {
    const { buffer, length } = this;
    const end = length + padded(n);
    if (end > buffer.length) {
      this.buffer = new Uint8Array(Math.max(2 * buffer.length, end));
      this.buffer.set(buffer.subarray(0, length));
    }
    return length;
  }

  private added(n: number): number {
    this.length += padded(n);
    return n;
  }
}

/** The next value begins at a multiple of 8. */
function padded(n: number): number {
  return (n + 7) & ~7;
}

/** The text of UTF-16 bytes. */
export function utf16Of(bytes: Uint8Array): string {
  const units: number[] = [];
  let text = "";
  for (let i = 0; i < bytes.length; i += 2) {
    units.push(bytes[i] | (bytes[i + 1] << 8));
    if (units.length === CHUNK || i + 2 >= bytes.length) {
      text += String.fromCharCode(...units);
      units.length = 0;
    }
  }
  return text;
}

/** Whether the value does not fit 64 bits. */
export function isLong(x: bigint): boolean {
  return BigInt.asIntN(64, x) !== x;
}

/** Hexadecimal digits, after "-" if the value is negative: the form that takes linear time both ways. */
export function digitsOf(x: bigint): string {
  return x.toString(16);
}

export function bigintOf(text: string): bigint {
  return text.startsWith("-") ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`);
}
