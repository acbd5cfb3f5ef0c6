/**
 * Reading pprof files.
 *
 * A file may have any origin, so everything in it is checked before it is used: a length against the rest of the file,
 * ids and string numbers against the tables, and the number of a sample's values against the sample types. An error
 * names the offset in the unpacked file. The work is linear in the bytes.
 *
 * Memory. As objects, a file takes ten times its size and more. So objects are made when they are asked for:
 *
 *   1. a pass counts the entries of the tables;
 *   2. a pass notes where each entry begins (see tables.ts);
 *   3. two passes check everything and keep nothing;
 *   4. an iteration over the samples reads objects from the bytes: each sample anew, but a location, a function or a
 *      mapping stays the same object once it is made.
 *
 * The note of a string takes 4 bytes, and a string at least 2 bytes of the file. The note of an entry with an id
 * takes 4 bytes, or 10 to 15 for ids out of order; an entry has at least 4 bytes, or 6 to 9 where there are many. So
 * a decoded profile holds the unpacked bytes and at most twice as much again, whatever the file contains.
 */
import { builtin } from "../host.ts";
import { throughStream } from "../writer.ts";
import { Decoded } from "./decoded.ts";
import type { PprofData } from "./model.ts";
import { ProfileFormatError } from "./reader.ts";

export { ProfileFormatError } from "./reader.ts";

export interface DecodeOptions {
  /** The largest unpacked size in bytes; default 1 GiB. */
  maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 1 << 30;
/** Offsets are kept in 32 bits. */
const MAX_MESSAGE_BYTES = 2 ** 32;
/** The first two bytes of a gzip file. */
const GZIP_ID1 = 0x1f;
const GZIP_ID2 = 0x8b;

/** Reads a profile, gzipped or not. */
export async function decodeProfile(bytes: Uint8Array, options: DecodeOptions = {}): Promise<PprofData> {
  // Not `instanceof`: the array may be of another realm, as in tests that run in a context of their own.
  if (!ArrayBuffer.isView(bytes) || bytes.BYTES_PER_ELEMENT !== 1) {
    throw new TypeError(
      `pprof: decodeProfile needs a Uint8Array (got ${bytes === null ? "null" : typeof bytes})`,
    );
  }
  const max = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const packed = bytes.length >= 2 && bytes[0] === GZIP_ID1 && bytes[1] === GZIP_ID2;
  const raw = packed ? await gunzip(bytes, max) : bytes;
  if (raw.length > max)
    throw new ProfileFormatError(0, `the profile has ${raw.length} bytes, more than ${max}`);
  return decodeMessage(raw);
}

async function gunzip(bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const fail = (error: unknown) => {
    const tooLong = (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
    const why = tooLong ? `the profile has more than ${maxBytes} bytes` : (error as Error).message;
    return new ProfileFormatError(0, `gzip: ${why}`);
  };
  const zlib = builtin("node:zlib");
  if (zlib !== undefined) {
    return new Promise((resolve, reject) => {
      zlib.gunzip(bytes, { maxOutputLength: maxBytes }, (error, raw) =>
        error ? reject(fail(error)) : resolve(raw),
      );
    });
  }
  try {
    return await throughStream(bytes, new DecompressionStream("gzip"), maxBytes);
  } catch (error) {
    throw fail(error);
  }
}

/** Reads an unpacked profile. An iteration over its samples reads `bytes`: do not change them. */
export function decodeMessage(bytes: Uint8Array): PprofData {
  if (bytes.length === 0) throw new ProfileFormatError(0, "an empty file is no profile");
  if (bytes.length >= MAX_MESSAGE_BYTES)
    throw new ProfileFormatError(0, `the profile has ${bytes.length} bytes, more than can be read`);
  return new Decoded(bytes).data();
}
