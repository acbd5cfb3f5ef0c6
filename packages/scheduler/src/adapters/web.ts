/** Web streams from and to channels. */

import { kindOf } from "@gort/base";
import type { Chan } from "../chan-types.ts";
import { currentScheduler } from "../default.ts";
import { recvCase, sendCase } from "../select-case.ts";
import { channelOf, closeOnce, type From, isChan } from "./source.ts";

/**
 * A Web stream with the values of a channel or a source. It takes a value only when its reader asks for one. If the
 * source ends with an error, the stream fails with it. A cancel of the stream stops the source, and takes no value from
 * the channel.
 */
export function toReadableStream<T>(from: From<T>): ReadableStream<T> {
  const { c, source } = channelOf("toReadableStream", from);
  const s = currentScheduler();
  const cancelled = s.makeChan<never>();
  return new ReadableStream<T>(
    {
      // `then`, not `await`: `await` calls `then` in a later microtask, but an op must be used where it is made. `pull`
      // may run in a goroutine that reads the stream, so another op may follow at once.
      pull: (controller) =>
        s.select([recvCase(c), recvCase(cancelled)]).then((r) => {
          if (r.index === 1) return;
          if (r.ok) {
            controller.enqueue(r.value);
            return;
          }
          const error = source === null ? null : source.err();
          if (error === null) controller.close();
          else controller.error(error);
        }),
      cancel() {
        cancelled.close();
        source?.stop();
      },
    },
    { highWaterMark: 0 },
  );
}

/** A Web stream that feeds a channel. */
export interface ChannelWritable<T> extends WritableStream<T> {
  /** The reason of the abort that closed the channel; null after a normal end. */
  err(): unknown;
}

/**
 * A Web stream that sends its chunks to a channel. A close or an abort closes the channel, and `err` tells which it
 * was. A write waits until a goroutine has taken the chunk or the channel has room. An abort drops a chunk that still
 * waits.
 */
export function toWritableStream<T>(c: Chan<T>): ChannelWritable<T> {
  if (!isChan(c)) throw new TypeError(`scheduler: toWritableStream needs a channel (got ${kindOf(c)})`);
  const s = currentScheduler();
  const aborted: Chan<never> = s.makeChan<never>();
  let error: unknown = null;
  const stream = new WritableStream<T>({
    start(controller) {
      // The stream aborts only after the pending write has ended, so the signal must end that write.
      const { signal } = controller as unknown as { signal: AbortSignal };
      signal.addEventListener("abort", () => aborted.close(), { once: true });
    },
    write: (chunk) => s.select([sendCase(c, chunk), recvCase<never>(aborted)]).then(() => {}),
    close: () => closeOnce(c),
    abort(reason: unknown) {
      error = reason ?? new DOMException("This operation was aborted", "AbortError");
      closeOnce(c);
    },
  });
  return Object.assign(stream, { err: () => error });
}
