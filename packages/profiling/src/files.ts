/**
 * Reading files that a source map, a stack or a package name refers to.
 *
 * Such a path may come from a file that the program only loaded, so it may be anything: a pipe without a writer, a
 * device without an end, a file larger than memory. Only regular files up to a limit are read.
 */
import { builtin } from "./host.ts";

/** Scripts and source maps larger than this are not read: their functions go without names and maps. */
export const MAX_FILE_BYTES = 64 << 20;

/** The longest path that is opened: Linux's limit. */
export const MAX_PATH_LENGTH = 4096;

/** The text of a regular file of at most `maxBytes`, or undefined. Never throws and never waits. */
export function readTextFile(path: string, maxBytes = MAX_FILE_BYTES): string | undefined {
  const fs = builtin("node:fs");
  if (fs === undefined || path.length > MAX_PATH_LENGTH) return undefined;
  let fd: number | undefined;
  try {
    // O_NONBLOCK: opening a pipe without a writer returns at once. `fstat` checks the descriptor, since the path may
    // name another file by then.
    fd = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    const stat = fs.fstatSync(fd);
    if (!stat.isFile() || stat.size > maxBytes) return undefined;
    const bytes = new Uint8Array(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const n = fs.readSync(fd, bytes, length, bytes.length - length, length);
      if (n === 0) break;
      length += n;
    }
    return new TextDecoder().decode(bytes.subarray(0, length));
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeQuietly(fs, fd);
  }
}

function closeQuietly(fs: typeof import("node:fs"), fd: number): void {
  try {
    fs.closeSync(fd);
  } catch {
    // A failed close needs no action: the bytes that were read are good.
  }
}
