/** Wire type of a field with a length. */
const WIRE_BYTES = 2;

/** A growing buffer of protobuf fields. */
export class ByteWriter {
  bytes: Uint8Array;
  /** How many bytes are written. Set it to 0 to begin again. */
  length = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }

  private reserve(more: number): void {
    const need = this.length + more;
    if (need <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(need, 2 * this.bytes.length));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** A number of up to 64 bits; a negative number as two's complement. */
  varint(value: number | bigint): void {
    this.reserve(10);
    const { bytes } = this;
    let at = this.length;
    if (typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      let n = value;
      while (n > 0x7fffffff) {
        bytes[at++] = (n % 128) | 128;
        n = Math.floor(n / 128);
      }
      while (n > 127) {
        bytes[at++] = (n & 127) | 128;
        n >>>= 7;
      }
      bytes[at++] = n;
    } else {
      let n = BigInt.asUintN(64, BigInt(value));
      while (n > 127n) {
        bytes[at++] = Number(n & 127n) | 128;
        n >>= 7n;
      }
      bytes[at++] = Number(n);
    }
    this.length = at;
  }

  /** A numeric field. 0 is left out: it is the default. */
  varintField(field: number, value: number | bigint): void {
    if (value === 0 || value === 0n) return;
    this.varint(field << 3);
    this.varint(value);
  }

  /** A field whose content is that of another writer. */
  bytesField(field: number, content: ByteWriter): void {
    this.varint((field << 3) | WIRE_BYTES);
    this.varint(content.length);
    this.reserve(content.length);
    this.bytes.set(content.bytes.subarray(0, content.length), this.length);
    this.length += content.length;
  }

  /** Begins a field whose content follows. Pass the result to `close`. */
  open(field: number): number {
    this.varint((field << 3) | WIRE_BYTES);
    // Reserve one byte for the length: this is enough for most fields.
    this.varint(0);
    return this.length;
  }

  /** Ends the field: fills in the length. A field without content is removed. */
  close(mark: number): void {
    const size = this.length - mark;
    if (size === 0) {
      this.length = mark - 2;
      return;
    }
    if (size > 127) {
      let extra = 0;
      for (let n = size; n > 127; n = Math.floor(n / 128)) extra++;
      this.reserve(extra);
      this.bytes.copyWithin(mark + extra, mark, mark + size);
    }
    this.length = mark - 1;
    this.varint(size);
    this.length += size;
  }
}
