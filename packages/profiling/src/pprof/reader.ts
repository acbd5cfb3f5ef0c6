/** Walking through the fields of a protobuf message. Every length and number is checked before it is used. */

/** Wire types. */
const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;
/** Field numbers are below this. */
const MAX_FIELD = 2 ** 29;

/** A fault of a file, with its offset. */
export class ProfileFormatError extends Error {
  readonly code = "ERR_GORT_PPROF_FORMAT";
  constructor(
    /** The offset in the unpacked file. */
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`pprof: offset ${offset}: ${reason}`);
  }
}

Object.defineProperty(ProfileFormatError.prototype, "name", {
  value: "ProfileFormatError",
  writable: true,
  configurable: true,
});

/** Walks the fields of one message. */
export class Reader {
  field = 0;
  wire = 0;
  /** Where the present field begins. */
  start = 0;
  /** The content of a length-delimited field. */
  from = 0;
  to = 0;
  private value = 0;
  /** The upper and lower 32 bits of the last number, for `bigint`. */
  private hi = 0;
  private lo = 0;

  constructor(
    readonly bytes: Uint8Array,
    public at: number,
    readonly end: number,
  ) {}

  /** Goes to the next field. Returns false at the end of the message. */
  next(): boolean {
    if (this.at >= this.end) return false;
    this.start = this.at;
    const tag = this.varint();
    this.field = Math.floor(tag / 8);
    this.wire = tag % 8;
    if (!(this.field > 0 && this.field < MAX_FIELD)) this.fail(`bad field number ${this.field}`);
    switch (this.wire) {
      case WIRE_VARINT:
        this.value = this.varint();
        return true;
      case WIRE_FIXED64:
        return this.skip(8);
      case WIRE_BYTES: {
        const length = this.varint();
        this.from = this.at;
        if (!(length >= 0 && length <= this.end - this.at)) {
          this.fail(
            `field ${this.field} of ${length} bytes ends after its message, which has ${this.end - this.at} left`,
          );
        }
        this.to = this.at = this.at + length;
        return true;
      }
      case WIRE_FIXED32:
        return this.skip(4);
      default:
        return this.fail(`bad wire type ${this.wire} of field ${this.field}`);
    }
  }

  private skip(n: number): boolean {
    if (n > this.end - this.at) this.fail(`field ${this.field} is cut off`);
    this.at += n;
    return true;
  }

  /** The number at the present position, as a signed 64-bit integer; beyond 2^53 it is rounded. */
  varint(): number {
    const { bytes, end } = this;
    const start = this.at;
    let at = start;
    let byte = 128;
    let lo = 0;
    let hi = 0;
    for (let shift = 0; byte >= 128; shift += 7) {
      if (at >= end) this.failAt(start, "a number is cut off");
      if (shift > 63) this.failAt(start, "a number has more than 10 bytes");
      byte = bytes[at++]!;
      const bits = byte & 127;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi = bits >>> 4;
      } else hi |= bits << (shift - 32);
    }
    this.at = at;
    this.lo = lo >>> 0;
    this.hi = hi | 0;
    return this.hi * 2 ** 32 + this.lo;
  }

  /** The present field as a number. */
  number(): number {
    if (this.wire !== WIRE_VARINT) this.fail(`field ${this.field} should be a number`);
    return this.value;
  }

  bigint(): bigint {
    this.number();
    return BigInt.asIntN(64, (BigInt(this.hi) << 32n) | BigInt(this.lo));
  }

  /** An id: a positive number. */
  id(): number {
    const n = this.number();
    if (n <= 0) this.fail(`bad id ${n}`);
    return n;
  }

  /** The present field as a message. */
  message(): Reader {
    if (this.wire !== WIRE_BYTES) this.fail(`field ${this.field} should be a message`);
    return new Reader(this.bytes, this.from, this.to);
  }

  /** Calls `take` for each number of the present field, packed or single. */
  numbers(take: (n: number) => void): void {
    if (this.wire === WIRE_VARINT) {
      take(this.value);
      return;
    }
    const inner = this.message();
    while (inner.at < inner.end) take(inner.varint());
  }

  /** Fails unless the present field is a string. */
  content(): void {
    if (this.wire !== WIRE_BYTES) this.fail(`field ${this.field} should be a string`);
  }

  string(): string {
    this.content();
    return utf8.decode(this.bytes.subarray(this.from, this.to));
  }

  fail(reason: string): never {
    return this.failAt(this.start, reason);
  }

  private failAt(offset: number, reason: string): never {
    throw new ProfileFormatError(offset, reason);
  }
}

/** Keeps a leading U+FEFF: it is a character of the string. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
