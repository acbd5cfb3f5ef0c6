/** `@gort/scheduler`: goroutines, channels, select and timers. */

// Goroutines
export {
  cgocall,
  checkpoint,
  go,
  gomaxprocs,
  gosched,
  lockOSThread,
  main,
  numCgoCall,
  numGoroutine,
  shouldYield,
  stack,
  syscall,
  unlockOSThread,
} from "./default.generated.ts";
export { goid } from "./default.ts";
export type { NotAsync } from "./functions.ts";
export type { Goroutine } from "./goroutine.ts";
export type { Operation } from "./op.ts";
export { defer, frame, goexit, panic, recover } from "./panic.ts";
export { type G, getg } from "./runtime2.ts";

// Channels
export type { Chan, RecvChan, RecvResult, SendChan, TryRecvResult } from "./chan-types.ts";
export { cap, len } from "./nil-chan.ts";
export { makeChan, select } from "./default.generated.ts";
export { close, recv, recv2, send } from "./default.ts";
export {
  type CaseKind,
  type CaseValue,
  type DefaultCase,
  defaultCase,
  type RecvCase,
  recvCase,
  type SelectCase,
  type SelectResult,
  type SelectResultOf,
  type SendCase,
  sendCase,
} from "./select-case.ts";

// Time
export { after, afterFunc, newTicker, newTimer, sleep } from "./default.generated.ts";
export type { Ticker, Timer } from "./time.ts";

// How programs end
export type { DeadlockMode } from "./deadlock.ts";
export {
  BoundsError,
  type BoundsKind,
  FatalError,
  isFatalError,
  isRuntimeError,
  PlainError,
  RuntimeError,
  TypeAssertionError,
} from "@gort/base";
export { GoexitSignal, PanicError, PanicNilError } from "./errors.ts";
export { type CrashReport, crashReport, dumpOnSigquit } from "./traceback.ts";

// A scheduler of one's own
export { defaultScheduler, setDefaultScheduler } from "./default.ts";
export type { Frame, Symbolize } from "./frames.ts";
export type { Clock, TaskQueue } from "./host.ts";
export type { SchedulerOptions } from "./options.ts";
export { createScheduler, Scheduler } from "./scheduler.ts";
export type { Leak, LongRun, SchedulerHooks } from "./runtime2.ts";
