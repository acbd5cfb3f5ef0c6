/**
 * The messages between the thread that made a runtime (M 0) and its workers. They go through a port of their own, so a
 * program may use its workers' messages as it likes.
 *
 *     M 0 -> worker    { "gort.start": WorkerStart }   as the first message of the worker itself, with the port
 *     worker -> M 0    { ready: true }                 it runs
 *                      { failed: RemoteError }         it cannot run
 *                      { holds: name }                 it has a Web Lock as long as it runs (worker-host.ts)
 *                      { crash: RemoteError, report }  a goroutine of it has panicked
 *                      { stderr: text }                for the `stderr` of the program
 *     M 0 -> worker    { cpuProfile: bytes }           the profile that the worker has asked for (cpu-profile.ts)
 *                      { cpuFault: RemoteError }       it cannot be had
 *
 * All else goes through linear memory (shared-block.ts).
 */
import type { WasmMemory } from "@gort/memory";
import type { Godebug } from "./godebug.ts";
import type { RuntimeOptions } from "./options.ts";
import type { RemoteError } from "./remote-error.ts";
import type { HostPort } from "./worker-host.ts";

/** What a worker needs to know of the runtime that it belongs to. */
export interface WorkerStart {
  /** The result of `version()`: both threads must run the same release. */
  readonly version: string;
  readonly memory: WasmMemory | ArrayBufferLike;
  readonly m: number;
  /** The memory's number for the worker's thread. */
  readonly thread: number;
  readonly port: HostPort;
  /** `clockOrigin()` of M 0. */
  readonly clockOrigin: number;
  /** Path of the program's main module; null outside of Node. */
  readonly mainModule: string | null;
  /** The worker only collects: see RuntimeOptions.collectorThread. */
  readonly collects: boolean;
  readonly settings: WorkerSettings;
}

/** Settings that are made with the runtime. Those that change later are in linear memory (process-settings.ts). */
export interface WorkerSettings {
  readonly godebug: Godebug;
  readonly options: Pick<RuntimeOptions, "memProfileBudget" | "blockStackPeriod" | "leakDetection">;
  /** The program has its own `stderr`, which runs on M 0. */
  readonly ownStderr: boolean;
  /** The program has its own `workers`: tasks are found by their names. */
  readonly ownWorkers: boolean;
}

export const startKey = "gort.start";

export interface StartMessage {
  readonly [startKey]: WorkerStart;
}

/** A message of a worker. */
export type WorkerMessage =
  | { readonly ready: true }
  | { readonly failed: RemoteError }
  | { readonly holds: string }
  /** `program`: the number of the program whose goroutine has crashed. */
  | { readonly crash: RemoteError; readonly report: string; readonly program: number }
  | { readonly stderr: string };

/** A message of M 0 to a worker that runs. */
export type MainMessage = { readonly cpuProfile: Uint8Array } | { readonly cpuFault: RemoteError };
