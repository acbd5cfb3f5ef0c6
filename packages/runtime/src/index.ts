/**
 * `@gort/runtime`: Go's runtime in TypeScript. The functions here belong to a default runtime, which is made from
 * the environment on first use; `createRuntime` makes others.
 */

// Memory
export type { Cleanup } from "@gort/gc";
export type { Addr, Ptr } from "@gort/memory";
// Statistics and profiles
export type { GCStats } from "@gort/memstats";
export {
  diff as diffMemStats,
  formatBytes,
  formatDuration,
  MemStats,
  memStatsJSON,
  newMemStats,
  summary,
} from "@gort/memstats/internal";
export type { CallerInfo, Frame, Frames, Func, PCs } from "@gort/profiling";
export { BlockProfileRecord, MemProfileRecord, StackRecord } from "@gort/profiling/internal";
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
} from "@gort/scheduler/internal";
// Goroutines and channels
export type {
  Chan,
  Clock,
  CrashReport,
  Goroutine,
  Operation,
  RecvChan,
  RecvResult,
  SelectCase,
  SelectResult,
  SelectResultOf,
  SendChan,
  Ticker,
  Timer,
  TryRecvResult,
} from "@gort/scheduler";
export {
  cap,
  close,
  crashReport,
  defaultCase,
  defer,
  dumpOnSigquit,
  frame,
  goexit,
  len,
  panic,
  recover,
  recv,
  recv2,
  recvCase,
  send,
  sendCase,
} from "@gort/scheduler/internal";
export type { HeapChan } from "@gort/threads";
export { chan } from "@gort/threads/internal";
// Types and objects
export type { Init, Ref, RefMembers, Type, Value } from "@gort/types";
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
  int,
  int8,
  int16,
  int32,
  int64,
  pointer,
  Slice,
  same,
  slice,
  string,
  struct,
  toUint8Array,
  uint,
  uint8,
  uint16,
  uint32,
  uint64,
  uintptr,
} from "@gort/types/internal";
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
export type { Shareable } from "@gort/threads";
export { clone } from "@gort/threads/internal";
export { parallel, type Task, type TaskOptions, task } from "./task.ts";
export type { WeakRefTo } from "./weak.ts";
// What runs
export { breakpoint, compiler, GOARCH, GOOS, goroot, gortVersion, numCPU, version } from "./version.ts";
