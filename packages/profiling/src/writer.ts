/**
 * Writing profiles: compressing them, and handing the bytes to a sink of the user.
 *
 * Like Go's writers, no function here closes the sink. A profile is complete in memory before its first byte is
 * written, so a sink that fails costs only an error. A file appears under its name only when it is complete.
 */
import { kindOf } from "@gort/base";
import { builtin } from "./host.ts";

/** A Node stream, or an object with its `write`. */
export interface NodeWritable {
  write(chunk: Uint8Array, callback: (error?: Error | null) => void): boolean;
  once?(event: "error" | "close", listener: (error?: Error) => void): unknown;
  removeListener?(event: "error" | "close", listener: (error?: Error) => void): unknown;
  destroyed?: boolean;
  writableEnded?: boolean;
}

/** The target of a profile: a Node stream, a web stream, or a function that takes the bytes. */
export type Sink = NodeWritable | WritableStream<Uint8Array> | ((bytes: Uint8Array) => void | Promise<void>);

/** Writes all of `bytes`. Rejects with the sink's own error if it fails. */
export async function writeAll(sink: Sink, bytes: Uint8Array): Promise<void> {
  if (typeof sink === "function") return sink(bytes);
  if (isWebStream(sink)) {
    const writer = sink.getWriter();
    try {
      await writer.ready;
      await writer.write(bytes);
    } finally {
      writer.releaseLock();
    }
    return;
  }
  if (typeof (sink as NodeWritable | null)?.write !== "function") {
    throw new TypeError(`profiling: writeTo needs a stream or a function (got ${kindOf(sink)})`);
  }
  await writeNode(sink, bytes);
}

function isWebStream(sink: object | null): sink is WritableStream<Uint8Array> {
  return typeof (sink as { getWriter?: unknown } | null)?.getWriter === "function";
}

function writeNode(sink: NodeWritable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (sink.destroyed === true || sink.writableEnded === true) {
      reject(new Error("profiling: write to a stream that has ended"));
      return;
    }
    // A stream that is destroyed meanwhile may never call back. So its events end the wait too.
    const done = (error?: Error | null) => {
      sink.removeListener?.("error", onError);
      sink.removeListener?.("close", onClose);
      if (error) reject(error);
      else resolve();
    };
    const onError = (error?: Error) => done(error ?? new Error("profiling: the stream failed"));
    const onClose = () => done(new Error("profiling: the stream was closed before the profile was written"));
    sink.once?.("error", onError);
    sink.once?.("close", onClose);
    sink.write(bytes, done);
  });
}

let serial = 0;

/**
 * Writes a file so that a complete file, or none, appears under `path`. The bytes go to another name in the same
 * folder, are flushed to the disk, and then the file is renamed. After an error, the other name is removed. If `path`
 * exists and is no regular file, such as a pipe or `/dev/stdout`, the bytes are written to it, and it is not
 * replaced.
 */
export async function writeFileAtomically(path: string, bytes: Uint8Array): Promise<void> {
  const fs = builtin("node:fs")?.promises;
  if (fs === undefined) throw new Error("profiling: this platform has no files to write to");
  if (typeof path !== "string") {
    throw new TypeError(`profiling: a file's path must be a string (got ${kindOf(path)})`);
  }
  const there = await fs.stat(path).catch(() => null);
  if (there !== null && !there.isFile() && !there.isDirectory()) return fs.writeFile(path, bytes);
  const temporary = `${path}.${(globalThis as { process?: { pid?: number } }).process?.pid ?? 0}-${serial++}.tmp`;
  try {
    const file = await fs.open(temporary, "wx");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.rename(temporary, path);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
}

/** Compresses at the best speed, as Go does. */
export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const zlib = builtin("node:zlib");
  if (zlib !== undefined) {
    return new Promise((resolve, reject) => {
      zlib.gzip(bytes, { level: zlib.constants.Z_BEST_SPEED }, (error, packed) =>
        error ? reject(error) : resolve(packed),
      );
    });
  }
  return throughStream(bytes, new CompressionStream("gzip"));
}

/**
 * The output of a web stream for `bytes`. An output of more than `maxBytes` is an error, with the code that Node has
 * for it.
 */
export async function throughStream(
  bytes: Uint8Array,
  transform: CompressionStream | DecompressionStream,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  const reader = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(transform).getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > maxBytes) {
      await reader.cancel();
      throw Object.assign(new RangeError(`more than ${maxBytes} bytes`), { code: "ERR_BUFFER_TOO_LARGE" });
    }
    parts.push(part.value);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
