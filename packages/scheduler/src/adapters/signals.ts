/** Channels from events and abort signals. */

import { kindOf } from "@gort/base";
import type { RecvChan } from "../chan-types.ts";
import { currentScheduler } from "../default.ts";
import { nodeProcess } from "../host.ts";
import { isClosed, OpenChan, type Source, type SourceOptions } from "./source.ts";

/** An EventTarget, or an EventEmitter of Node. */
export type Events =
  | EventTarget
  | {
      on(type: string, f: (...args: unknown[]) => void): unknown;
      off(type: string, f: (...args: unknown[]) => void): unknown;
    };

/** Adds a listener, and returns the function that removes it. */
function listen(target: Events, type: string, f: (e: unknown) => void): () => void {
  if (typeof target === "object" && target !== null) {
    if ("addEventListener" in target && typeof target.addEventListener === "function") {
      target.addEventListener(type, f);
      return () => target.removeEventListener(type, f);
    }
    if ("on" in target && typeof target.on === "function" && typeof target.off === "function") {
      target.on(type, f);
      return () => void target.off(type, f);
    }
  }
  throw new TypeError(
    `scheduler: fromEvents needs an EventTarget or an EventEmitter (got ${kindOf(target)})`,
  );
}

/** Whether the events are signals of the process. A listener for a signal does not keep the process alive. */
function isSignal(target: Events, type: string): boolean {
  return target === (nodeProcess() as unknown) && String(type).startsWith("SIG");
}

/**
 * A source with the events of `type`. An event cannot wait, so the source drops events while its buffer is full. While
 * `main` runs, a source of a signal (`fromEvents(process, "SIGINT")`) keeps the process alive.
 */
export function fromEvents<E>(target: Events, type: string, options: SourceOptions = {}): Source<E> {
  // Emitters of Node take symbols, too.
  if (typeof type !== "string" && typeof type !== "symbol") {
    throw new TypeError(`scheduler: fromEvents: type must be a string or a symbol (got ${kindOf(type)})`);
  }
  const o = new OpenChan<E>(currentScheduler(), options.size ?? 16);
  const stop = () => {
    if (!o.open) return;
    remove();
    o.end();
  };
  const remove = listen(target, type, (e) => {
    if (!o.open) return;
    // A goroutine that has closed the channel wants no more events. A send would panic in the emitter.
    if (isClosed(o.c)) stop();
    else o.c.trySend(e as E);
  });
  o.begin(isSignal(target, type));
  return { C: o.c, err: () => null, stop };
}

/** A channel that is closed when a signal is aborted. */
export interface AbortChan extends RecvChan<never> {
  /**
   * Removes the listener from the signal. The channel stays open, because a closed one means that the signal is
   * aborted.
   */
  stop(): void;
}

/** A channel that is closed when `signal` is aborted. Call `stop` when you need it no more. */
export function fromAbortSignal(signal: AbortSignal): AbortChan {
  if (typeof signal !== "object" || signal === null || typeof signal.aborted !== "boolean") {
    throw new TypeError(`scheduler: fromAbortSignal needs an AbortSignal (got ${kindOf(signal)})`);
  }
  const s = currentScheduler();
  const c = s.makeChan<never>();
  let release: (() => void) | null = null;
  const end = () => {
    if (release === null) return false;
    signal.removeEventListener("abort", onAbort);
    release();
    release = null;
    return true;
  };
  const onAbort = () => {
    if (end() && !isClosed(c)) c.close();
  };
  if (signal.aborted) {
    c.close();
  } else {
    signal.addEventListener("abort", onAbort);
    release = s.hostSource({ hold: false });
  }
  return Object.assign(c, { stop: () => void end() });
}
