/**
 * `@gort/scheduler/adapters`: channels from and to what the host has: async iterables, Web and Node streams, events,
 * abort signals.
 *
 * A source is open while the host may still send through it, and as long as it is open waiting goroutines are no
 * deadlock. Every adapter cleans up after itself: when it has ended, failed or been stopped, it has left no listener, no
 * goroutine, no lock and no unhandled rejection behind.
 *
 *     adapters/source.ts     what all sources share        adapters/web.ts    Web streams from and to channels
 *     adapters/iterables.ts  async iterables, streams      adapters/pipe.ts   writing to streams
 *     adapters/signals.ts    events, abort signals
 */

export {
  fromAsyncIterable,
  fromNodeReadable,
  fromReadableStream,
  type NodeReadable,
} from "./adapters/iterables.ts";
export { type NodeWritable, pipe, writeTo } from "./adapters/pipe.ts";
export { type AbortChan, type Events, fromAbortSignal, fromEvents } from "./adapters/signals.ts";
export type { From, Source, SourceOptions } from "./adapters/source.ts";
export { type ChannelWritable, toReadableStream, toWritableStream } from "./adapters/web.ts";
