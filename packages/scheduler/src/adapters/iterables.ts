/** Channels from async iterables: Web streams, Node streams and iterables of the program. */

import { kindOf } from "@gort/base";
import { currentScheduler } from "../default.ts";
import { OpenChan, type Source, type SourceOptions } from "./source.ts";

/** An iterator that `cancel` ends early. `pumped` calls `cancel` at most once, and keeps its error for `err`. */
interface Feed<T> {
  next(): Promise<IteratorResult<T, unknown>> | IteratorResult<T, unknown>;
  cancel(): unknown;
  /** Called once if the feed ends by itself, normally or with an error. */
  ended?(): void;
}

/**
 * A source with the values of the feed that `open` gives. It asks for the next value when a goroutine has taken the
 * previous one, or the channel has room. It drops a value that the host delivers after a stop.
 */
function pumped<T>(options: SourceOptions, open: () => Feed<T>): Source<T> {
  const o = new OpenChan<T>(currentScheduler(), options.size ?? 0);
  const feed = open();
  let error: unknown = null;
  o.begin();
  const cancel = async () => {
    try {
      await feed.cancel();
    } catch (e) {
      error ??= e;
    }
  };
  const pump = async () => {
    try {
      while (o.open) {
        const r = await feed.next();
        if (!o.open) return;
        if (r.done) break;
        try {
          await o.c.send(r.value);
        } catch (e) {
          // The channel was closed during the send: by stop, or by a goroutine that wants no more values.
          if (!o.open) return;
          error = e;
          o.end();
          await cancel();
          return;
        }
      }
    } catch (e) {
      if (!o.open) return;
      error = e;
    }
    o.end();
    feed.ended?.();
  };
  void pump();
  return {
    C: o.c,
    err: () => error,
    stop() {
      if (!o.open) return;
      o.end();
      void cancel();
    },
  };
}

/** A source with the values of an async iterable, asked for one at a time as goroutines take them. */
export function fromAsyncIterable<T>(
  it: AsyncIterable<T> | Iterable<T>,
  options: SourceOptions = {},
): Source<T> {
  return pumped<T>(options, () => {
    const iterator = iteratorOf("fromAsyncIterable needs an async iterable or an iterable", it);
    return {
      next: () => iterator.next(),
      cancel: () => iterator.return?.(),
    };
  });
}

function iteratorOf<T>(rule: string, it: AsyncIterable<T> | Iterable<T>): AsyncIterator<T> | Iterator<T> {
  const o = it as Partial<AsyncIterable<T> & Iterable<T>> | null | undefined;
  const async = o?.[Symbol.asyncIterator];
  if (typeof async === "function") return async.call(it);
  const sync = o?.[Symbol.iterator];
  if (typeof sync === "function") return sync.call(it);
  throw new TypeError(`scheduler: ${rule} (got ${kindOf(it)})`);
}

/** A source with the chunks of a Web stream. At its end it releases the stream's lock. `stop` cancels the stream. */
export function fromReadableStream<T>(stream: ReadableStream<T>, options: SourceOptions = {}): Source<T> {
  return pumped<T>(options, () => {
    if (typeof stream?.getReader !== "function") {
      throw new TypeError(`scheduler: fromReadableStream needs a ReadableStream (got ${kindOf(stream)})`);
    }
    const reader = stream.getReader();
    // `read` reports a failure. Without this handler `closed` would be an unhandled rejection, too.
    reader.closed.catch(() => {});
    return {
      next: () => reader.read(),
      async cancel() {
        try {
          await reader.cancel();
        } finally {
          reader.releaseLock();
        }
      },
      ended: () => reader.releaseLock(),
    };
  });
}

/** The part of a Node stream that fromNodeReadable needs. */
export interface NodeReadable<T> extends AsyncIterable<T> {
  destroy?(error?: Error): unknown;
}

/** A source with the chunks of a Node stream. `stop` destroys the stream. */
export function fromNodeReadable<T>(readable: NodeReadable<T>, options: SourceOptions = {}): Source<T> {
  return pumped<T>(options, () => {
    const iterator = iteratorOf<T>("fromNodeReadable needs a readable stream of Node", readable);
    return {
      next: () => iterator.next(),
      // Destroy before `return`: it waits for the pending read, which ends only with the stream.
      cancel() {
        if (typeof readable.destroy !== "function") return iterator.return?.();
        readable.destroy();
        return iterator.return?.();
      },
    };
  });
}
