/** `@gort/scheduler`: goroutines, channels, select and timers. */

export {
  type Chan,
  cap,
  len,
  type RecvChan,
  type RecvResult,
  type SendChan,
  type TryRecvResult,
} from "./chan.ts";
// How programs end
export type { DeadlockMode } from "./deadlock.ts";
// Goroutines
// Channels
// Time
export {
  after,
  afterFunc,
  cgocall,
  checkpoint,
  go,
  gomaxprocs,
  gosched,
  lockOSThread,
  main,
  makeChan,
  newTicker,
  newTimer,
  numCgoCall,
  numGoroutine,
  select,
  shouldYield,
  sleep,
  stack,
  syscall,
  unlockOSThread,
} from "./default.generated.ts";
export { close, defaultScheduler, goid, recv, recv2, send, setDefaultScheduler } from "./default.ts";
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
export type { Frame, Symbolize } from "./frames.ts";
export type { NotAsync } from "./functions.ts";
export type { Goroutine } from "./goroutine.ts";
export type { Clock, TaskQueue } from "./host.ts";
export type { Leak } from "./leak.ts";
export type { LongRun } from "./longrun.ts";
export type { Operation } from "./op.ts";
// A scheduler of one's own
export type { SchedulerHooks, SchedulerOptions } from "./options.ts";
export { defer, frame, goexit, panic, recover } from "./panic.ts";
export { createScheduler, Scheduler } from "./proc.ts";
export { type G, getg } from "./runtime2.ts";
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
} from "./select.ts";
export type { Ticker, Timer } from "./time.ts";
export { type CrashReport, crashReport, dumpOnSigquit } from "./traceback.ts";
