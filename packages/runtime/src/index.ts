/**
 * `@gort/runtime`: Go's runtime in TypeScript. The functions here belong to a default runtime, which is made from
 * the environment on first use; `createRuntime` makes others.
 */

// Memory
export type { Cleanup } from "@gort/gc";
export type { Addr, Ptr } from "@gort/memory";
// Statistics and profiles
export {
  diff as diffMemStats,
  formatBytes,
  formatDuration,
  type GCStats,
  MemStats,
  memStatsJSON,
  newMemStats,
  summary,
} from "@gort/memstats";
export {
  BlockProfileRecord,
  type CallerInfo,
  type Frame,
  type Frames,
  type Func,
  MemProfileRecord,
  type PCs,
  StackRecord,
} from "@gort/profiling";
// Errors
export {
  BoundsError,
  FatalError,
  isFatalError,
  isRuntimeError,
  PanicError,
  PlainError,
  RuntimeError,
  TypeAssertionError,
} from "@gort/scheduler";
// Goroutines and channels
export {
  type Chan,
  type Clock,
  type CrashReport,
  cap,
  close,
  crashReport,
  defaultCase,
  defer,
  dumpOnSigquit,
  frame,
  type Goroutine,
  goexit,
  len,
  type Operation,
  panic,
  type RecvChan,
  type RecvResult,
  recover,
  recv,
  recv2,
  recvCase,
  type SelectCase,
  type SelectResult,
  type SelectResultOf,
  type SendChan,
  send,
  sendCase,
  type Ticker,
  type Timer,
  type TryRecvResult,
} from "@gort/scheduler";
export { chan, type HeapChan } from "@gort/threads";
// Types and objects
export {
  addrOf,
  append,
  appendSlice,
  array,
  bool,
  bytes,
  bytesToString,
  complex64,
  complex128,
  copy,
  float32,
  float64,
  type Init,
  int,
  int8,
  int16,
  int32,
  int64,
  pointer,
  type Ref,
  type RefMembers,
  Slice,
  same,
  slice,
  string,
  struct,
  type Type,
  toUint8Array,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
  type Value,
} from "@gort/types";
// A runtime
export {
  addCleanup,
  after,
  afterFunc,
  blockProfile,
  callersFrames,
  cgocall,
  funcForPC,
  gc,
  go,
  gomaxprocs,
  goroutineProfile,
  gosched,
  keepAlive,
  lockOSThread,
  main,
  makeSlice,
  memProfile,
  mutexProfile,
  newObject,
  newTicker,
  newTimer,
  numCgoCall,
  numGoroutine,
  readMemStats,
  root,
  safepoint,
  select,
  setBlockProfileRate,
  setCPUProfileRate,
  setFinalizer,
  setMutexProfileFraction,
  sleep,
  sliceOf,
  stack,
  syscall,
  threadCreateProfile,
  toBytes,
  unlockOSThread,
  weak,
} from "./default.generated.ts";
export { caller, callers, defaultRuntime, makeChan, memProfileRate, setDefaultRuntime } from "./default.ts";
export { type DebugSwitch, debugSwitches, type Godebug, type SwitchInfo } from "./godebug.ts";
export type { RuntimeOptions } from "./options.ts";
export type { Root } from "./roots.ts";
export { createRuntime, Runtime } from "./runtime.ts";
// Tasks: goroutines that any thread can run
export { clone, type Shareable } from "@gort/threads";
export { parallel, type Task, type TaskOptions, task } from "./task.ts";
export type { WeakRefTo } from "./weak.ts";
// What runs
export { breakpoint, compiler, GOARCH, GOOS, goroot, gortVersion, numCPU, version } from "./version.ts";
