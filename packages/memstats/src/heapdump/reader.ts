/**
 * Reads a heap dump into columns: an object is an index, and its figures are elements of typed arrays. So dumps of
 * millions of objects fit. Two walks over the bytes: records.ts reads all records and notes where the objects are,
 * columns.ts reads the objects.
 */
import { findObject, pointerReader, readObjects } from "./columns.ts";
import { Cursor } from "./cursor.ts";
import type { HeapDump } from "./dump.ts";
import { HEADER } from "./format.ts";
import { linkFrames, readRecords } from "./records.ts";

/**
 * Reads a dump, of gort or of Go. The result refers to `bytes`: leave them as they are.
 *
 * @throws RangeError for bytes that are no dump, or a dump that is cut off; the message says where
 */
export function readHeapDump(bytes: Uint8Array): HeapDump {
  const header = new TextDecoder().decode(bytes.subarray(0, HEADER.length));
  if (header !== HEADER)
    throw new RangeError(`heapdump: not a heap dump (begins with ${JSON.stringify(header)})`);
  const c = new Cursor(bytes);
  c.at = HEADER.length;
  const records = readRecords(c);
  const { params } = records;
  if (params === undefined) return c.fail("the dump has no parameters");
  linkFrames(records);
  const pointerAt = pointerReader(params);
  const columns = readObjects(c, records.objects, pointerAt);
  const { starts, ...objectColumns } = columns;
  return {
    params,
    objectCount: columns.addresses.length,
    ...objectColumns,
    roots: records.roots,
    goroutines: records.goroutines.map(({ g }) => g),
    segments: records.segments,
    finalizers: records.finalizers,
    queuedFinalizers: records.queuedFinalizers,
    memStats: records.memStats,
    allocs: records.allocs,
    samples: records.samples,
    find: (address) => findObject(columns, address),
    contents: (i) => bytes.subarray(starts[i], starts[i] + columns.sizes[i]),
    pointerAt,
  };
}
