import { FIELD_EOL, FIELD_PTR } from "./format.ts";

/** Keeps a leading U+FEFF: it is a character of the string. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads the primitive values of a dump, one after the other. Every method throws a RangeError where the dump ends. */
export class Cursor {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  fail(what: string): never {
    throw new RangeError(`heapdump: ${what} at byte ${this.at}`);
  }

  /** An integer; above 2^53 it is rounded. */
  uint(): number {
    const { bytes } = this;
    let v = 0;
    let scale = 1;
    for (let n = 0; n < 10; n++) {
      if (this.at >= bytes.length) this.fail("the dump ends in the middle of a record");
      const b = bytes[this.at++];
      v += (b & 0x7f) * scale;
      if (b < 0x80) return v;
      scale *= 128;
    }
    return this.fail("an integer has more than 64 bits");
  }

  /** An integer with all its digits. */
  bigUint(): bigint {
    const { bytes } = this;
    let v = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.at >= bytes.length) this.fail("the dump ends in the middle of a record");
      const b = bytes[this.at++];
      v |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    return this.fail("an integer has more than 64 bits");
  }

  /** A string as bytes: a view of the dump. */
  contents(): Uint8Array {
    const n = this.uint();
    if (this.at + n > this.bytes.length) this.fail("the dump ends in the middle of a record");
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  string(): string {
    return utf8.decode(this.contents());
  }

  /** The offsets of the pointers in a field list. */
  fields(): number[] {
    const out: number[] = [];
    this.eachPointer((offset) => out.push(offset));
    return out;
  }

  /** Reads a field list and calls `visit` with the offset of each pointer. */
  eachPointer(visit: (offset: number) => void): void {
    for (let kind = this.uint(); kind !== FIELD_EOL; kind = this.uint()) {
      const offset = this.uint();
      if (kind === FIELD_PTR) visit(offset);
    }
  }

  skip(integers: number): void {
    for (let i = 0; i < integers; i++) this.uint();
  }
}
