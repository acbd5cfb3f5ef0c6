/**
 * `@gort/scheduler/adapters`: channels from and to async iterables, Web and Node streams, events and abort signals.
 *
 * A source is open while the host may still send through it. While a source is open, waiting goroutines are no
 * deadlock. Every adapter cleans up after itself: after its end, its failure or a stop it leaves no listener, no
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
