/**
 * From a channel to a Node or Web stream: writeTo and pipe.
 *
 * 1. A watch notices the end of the stream, by Node's `stream.finished` or by the `closed` promise of a Web writer.
 * 2. The goroutine waits for a value and for the end of the stream at once. So it takes no value for a stream that has
 *    ended, and the end of the stream wakes it.
 * 3. If the stream is full, the goroutine waits for room or for the end of the stream.
 * 4. After the last value the goroutine ends the stream, and waits until the stream has written everything.
 * 5. If anything fails, the goroutine destroys the stream and stops the source, if there is one. It leaves no listener
 *    behind.
 */

import { kindOf } from "@gort/base";
import type { Chan, RecvChan } from "../chan-types.ts";
import { currentScheduler } from "../default.ts";
import { GoexitSignal } from "../errors.ts";
import { nodeProcess } from "../host.ts";
import { fatalOf } from "../overflow.ts";
import { rethrow } from "../rethrow.ts";
import type { Scheduler } from "../scheduler.ts";
import { recvCase } from "../select-case.ts";
import { channelOf, type From, type Source } from "./source.ts";

/** The part of a Node stream that writeTo and pipe need. */
export interface NodeWritable<T> {
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  write(chunk: T): boolean;
  end(): unknown;
  destroy(error?: Error): unknown;
  on(event: string, f: () => void): unknown;
  off(event: string, f: () => void): unknown;
}

type Finished = (
  stream: unknown,
  options: { readable: boolean },
  callback: (error?: Error | null) => void,
) => () => void;

/** A stream as the goroutine that writes to it sees it. */
abstract class Sink<T> {
  /** Closed when the stream has ended. */
  readonly gone: Chan<never>;
  ended = false;
  error: unknown = null;
  private readonly sched: Scheduler;
  private wake: (() => void) | null = null;

  constructor(s: Scheduler) {
    this.sched = s;
    this.gone = s.makeChan<never>();
  }

  /** Whether the stream takes no more chunks. The watch may learn of its end later. */
  abstract readonly over: boolean;
  /** Whether the stream's buffer is full. */
  abstract readonly full: boolean;
  abstract write(v: T): void;
  abstract end(): void;
  abstract destroy(e: unknown): void;
  /** Removes all listeners. */
  abstract stop(): void;

  /** For the watch: the stream has ended. */
  protected onEnd(error: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.gone.close();
    this.wake?.();
  }

  /** For the watch: there may be room. */
  protected readonly onRoom = () => {
    if (!this.full) this.wake?.();
  };

  /** Waits for the end of the stream or, with `room`, for room or the end. */
  *wait(room: boolean): Generator<undefined, void, unknown> {
    while (!this.ended && !(room && !this.full)) {
      yield* this.sched.syscall(
        () =>
          new Promise<void>((resolve) => {
            this.wake = resolve;
          }),
      );
      this.wake = null;
    }
  }
}

class NodeSink<T> extends Sink<T> {
  private readonly stream: NodeWritable<T>;
  private readonly unwatch: () => void;
  private needDrain = false;
  private readonly onDrain = () => {
    this.needDrain = false;
    this.onRoom();
  };

  constructor(s: Scheduler, stream: NodeWritable<T>, finished: Finished) {
    super(s);
    this.stream = stream;
    this.unwatch = finished(stream, { readable: false }, (e) => this.onEnd(e ?? null));
    stream.on("drain", this.onDrain);
  }
  get over(): boolean {
    return this.stream.destroyed || this.stream.writableEnded;
  }
  get full(): boolean {
    return this.needDrain;
  }
  write(v: T): void {
    // Not writableNeedDrain: responses of http2 lack it.
    if (!this.stream.write(v)) this.needDrain = true;
  }
  end(): void {
    this.stream.end();
  }
  destroy(e: unknown): void {
    const { stream } = this;
    if (stream.destroyed) return;
    // The stream emits `error` after this watch is removed. Without a listener, the event would end the process.
    const ignore = () => {};
    const closed = () => {
      stream.off("error", ignore);
      stream.off("close", closed);
    };
    stream.on("error", ignore);
    stream.on("close", closed);
    stream.destroy(e instanceof Error ? e : new Error(String(e), { cause: e }));
  }
  stop(): void {
    this.unwatch();
    this.stream.off("drain", this.onDrain);
  }
}

class WebSink<T> extends Sink<T> {
  private readonly writer: WritableStreamDefaultWriter<T>;
  private stopped = false;

  constructor(s: Scheduler, stream: WritableStream<T>) {
    super(s);
    this.writer = stream.getWriter();
    this.writer.closed.then(
      () => this.onEnd(null),
      (e: unknown) => {
        if (!this.stopped) this.onEnd(e ?? new Error("scheduler: writeTo: the stream was aborted"));
      },
    );
    this.watchRoom();
  }
  get over(): boolean {
    return false;
  }
  get full(): boolean {
    const n = this.writer.desiredSize;
    return n !== null && n <= 0;
  }
  write(v: T): void {
    // `closed` reports a failure of the stream.
    this.writer.write(v).catch(ignoreRejection);
    this.watchRoom();
  }
  end(): void {
    this.writer.close().catch(ignoreRejection);
  }
  destroy(e: unknown): void {
    this.writer.abort(e).catch(ignoreRejection);
  }
  stop(): void {
    this.stopped = true;
    this.writer.releaseLock();
  }
  private watchRoom(): void {
    this.writer.ready.then(() => {
      if (!this.stopped) this.onRoom();
    }, ignoreRejection);
  }
}

function ignoreRejection(): void {}

function sinkOf<T>(what: string, stream: NodeWritable<T> | WritableStream<T>): Sink<T> {
  const s = currentScheduler();
  if (typeof stream === "object" && stream !== null) {
    if ("getWriter" in stream) return new WebSink(s, stream);
    const node = nodeProcess()?.getBuiltinModule?.("stream") as { finished: Finished } | undefined;
    if (node !== undefined && typeof stream.write === "function" && typeof stream.destroy === "function") {
      return new NodeSink(s, stream, node.finished);
    }
  }
  throw new TypeError(
    `scheduler: ${what} needs a writable stream of Node or of the Web (got ${kindOf(stream)})`,
  );
}

/** A transfer whose arguments have been checked. */
interface Transfer<T> {
  what: string;
  c: RecvChan<T>;
  source: Source<T> | null;
  sink: Sink<T>;
}

function prepare<T>(what: string, from: From<T>, stream: NodeWritable<T> | WritableStream<T>): Transfer<T> {
  const { c, source } = channelOf(what, from);
  return { what, c, source, sink: sinkOf(what, stream) };
}

function* transfer<T>({ what, c, source, sink }: Transfer<T>): Generator<undefined, void, unknown> {
  const s = currentScheduler();
  try {
    for (;;) {
      if (sink.over) yield* sink.wait(false);
      if (sink.ended) {
        if (sink.error !== null) rethrow(sink.error, rethrow);
        throw new Error(`scheduler: ${what}: the stream was ended before the channel was closed`);
      }
      const r = yield* s.select([recvCase(c), recvCase(sink.gone)]);
      if (r.index === 1) continue;
      if (!r.ok) break;
      sink.write(r.value);
      if (sink.full) yield* sink.wait(true);
    }
    const failure = source === null ? null : source.err();
    if (failure !== null) rethrow(failure, rethrow);
    sink.end();
    yield* sink.wait(false);
    if (sink.error !== null) rethrow(sink.error, rethrow);
  } catch (e) {
    source?.stop();
    sink.destroy(e);
    throw e;
  } finally {
    sink.stop();
  }
}

/**
 * Writes the values of a channel or a source to a stream of Node or of the Web, no faster than the stream takes them.
 * After the last value it ends the stream, and returns once everything is written. If the stream or the source fails,
 * it destroys the stream, stops the source and throws the error. In a goroutine: `yield* writeTo(c, stream)`.
 */
export function* writeTo<T>(
  from: From<T>,
  stream: NodeWritable<T> | WritableStream<T>,
): Generator<undefined, void, unknown> {
  yield* transfer(prepare("writeTo", from, stream));
}

/**
 * As writeTo, but returns the error or null, since a client that disconnects should be no panic. In a goroutine:
 * `const err = yield* pipe(c, stream)`.
 */
export function* pipe<T>(
  from: From<T>,
  stream: NodeWritable<T> | WritableStream<T>,
): Generator<undefined, unknown, unknown> {
  const ready = prepare("pipe", from, stream);
  try {
    yield* transfer(ready);
    return null;
  } catch (e) {
    const fatal = fatalOf(e);
    if (fatal !== null || e instanceof GoexitSignal) throw fatal ?? e;
    return e;
  }
}
