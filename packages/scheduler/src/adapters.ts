/**
 * `@gort/scheduler/adapters`: channels from and to what the host has: async iterables, Web and Node streams, events,
 * abort signals.
 *
 * A source is open while the host may still send through it, and as long as it is open waiting goroutines are no
 * deadlock.
 */

import type { Chan, RecvChan } from "./chan.ts";
import { currentScheduler } from "./default.ts";

/** A channel that host code feeds. */
export interface Source<T> {
  /** Closed when the host has no more. */
  readonly C: RecvChan<T>;
  /** What ended it, once `C` is closed; null at a normal end. */
  err(): unknown;
  /** Ends it early: closes `C` and tells the host. */
  stop(): void;
}

export interface SourceOptions {
  /** Capacity of the channel. Default 0, for events 16. */
  size?: number;
}

/** Receives what an async iterable gives, one at a time as the goroutines take it. */
export function fromAsyncIterable<T>(
  it: AsyncIterable<T> | Iterable<T>,
  options: SourceOptions = {},
): Source<T> {
  const s = currentScheduler();
  const c = s.makeChan<T>(options.size ?? 0);
  const release = s.hostSource();
  const iterator =
    Symbol.asyncIterator in it ? it[Symbol.asyncIterator]() : (it as Iterable<T>)[Symbol.iterator]();
  let error: unknown = null;
  let open = true;
  const end = () => {
    if (!open) return;
    open = false;
    c.close();
    release();
  };
  const pump = async () => {
    try {
      while (open) {
        const r = await iterator.next();
        if (r.done || !open) break;
        await c.send(r.value);
      }
    } catch (e) {
      // After stop the channel is closed under the send; that is no error.
      if (open) error = e;
    }
    end();
  };
  void pump();
  return {
    C: c,
    err: () => error,
    stop() {
      end();
      void iterator.return?.();
    },
  };
}

/** Receives the chunks of a Web stream. */
export function fromReadableStream<T>(stream: ReadableStream<T>, options: SourceOptions = {}): Source<T> {
  const reader = stream.getReader();
  return fromAsyncIterable<T>(
    {
      [Symbol.asyncIterator]: () => ({
        async next() {
          const r = await reader.read();
          return r.done ? { done: true, value: undefined } : { done: false, value: r.value };
        },
        async return() {
          await reader.cancel();
          return { done: true, value: undefined };
        },
      }),
    },
    options,
  );
}

/** A Web stream of what a channel gives; it asks for a value when its reader does. */
export function toReadableStream<T>(c: RecvChan<T>): ReadableStream<T> {
  return new ReadableStream<T>({
    async pull(controller) {
      const r = await c.recv2();
      if (r.ok) controller.enqueue(r.value as T);
      else controller.close();
    },
  });
}

/** A Web stream whose chunks are sent to a channel; closing or aborting it closes the channel. */
export function toWritableStream<T>(c: Chan<T>): WritableStream<T> {
  return new WritableStream<T>({
    async write(chunk) {
      await c.send(chunk);
    },
    close: () => c.close(),
    abort: () => c.close(),
  });
}

/** The part of a Node stream that is needed to write to it. */
export interface NodeWritable<T> {
  write(chunk: T): boolean;
  end(): unknown;
  once(event: string, f: () => void): unknown;
  off(event: string, f: () => void): unknown;
}

/** Receives the chunks of a Node stream. */
export function fromNodeReadable<T>(readable: AsyncIterable<T>, options: SourceOptions = {}): Source<T> {
  return fromAsyncIterable(readable, options);
}

/**
 * Writes what a channel gives to a Node stream, no faster than the stream takes it, and ends it after the last. In a
 * goroutine: `yield* writeTo(c, stream)`.
 */
export function* writeTo<T>(c: RecvChan<T>, writable: NodeWritable<T>): Generator<undefined, void, unknown> {
  const s = currentScheduler();
  yield* c.forEach(function* (v) {
    if (writable.write(v)) return;
    yield* s.syscall(
      () =>
        new Promise<void>((resolve, reject) => {
          const done = (f: () => void) => () => {
            writable.off("drain", drained);
            writable.off("error", failed);
            f();
          };
          const drained = done(resolve);
          const failed = done(() => reject(new Error("stream failed before it drained")));
          writable.once("drain", drained);
          writable.once("error", failed);
        }),
    );
  });
  writable.end();
}

/** An EventTarget, or an EventEmitter of Node. */
export type Events =
  | EventTarget
  | {
      on(type: string, f: (...args: unknown[]) => void): unknown;
      off(type: string, f: (...args: unknown[]) => void): unknown;
    };

/** Receives events. Those that find the buffer full are dropped: an event does not wait. */
export function fromEvents<E>(target: Events, type: string, options: SourceOptions = {}): Source<E> {
  const s = currentScheduler();
  const c = s.makeChan<E>(options.size ?? 16);
  const release = s.hostSource();
  let open = true;
  const listener = (e: unknown) => {
    if (open) c.trySend(e as E);
  };
  if ("addEventListener" in target) target.addEventListener(type, listener);
  else target.on(type, listener);
  return {
    C: c,
    err: () => null,
    stop() {
      if (!open) return;
      open = false;
      if ("removeEventListener" in target) target.removeEventListener(type, listener);
      else target.off(type, listener);
      c.close();
      release();
    },
  };
}

/** A channel that is closed when `signal` is aborted. */
export function fromAbortSignal(signal: AbortSignal): RecvChan<never> {
  const s = currentScheduler();
  const c = s.makeChan<never>();
  if (signal.aborted) {
    c.close();
    return c;
  }
  const release = s.hostSource();
  signal.addEventListener(
    "abort",
    () => {
      c.close();
      release();
    },
    { once: true },
  );
  return c;
}
