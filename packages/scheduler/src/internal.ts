/** For sibling packages; may change with any release. Unless a comment names threads, it is for `@gort/runtime`. */

// threads: ops on channels and locks in memory that threads share
export { arm, begin, disarm, gopark, notResumed, Op, OwnOp, PhasedOp, takeBack } from "./op.ts";
export { sendOnClosed } from "./chan.ts";
export { currentScheduler } from "./default.ts";
export { usedAfterClose } from "./errors.ts";
export { checkGoroutineFunction } from "./goroutine.ts";
export { inspectCustom } from "./inspect.ts";
export { type None, none } from "./chan-types.ts";
export type { AnyOp, LockWait, Schedt, SharedWait } from "./runtime2.ts";
export {
  CASE_CLOSED,
  CASE_DONE,
  CASE_WAITS,
  type ChosenCase,
  SharedChan,
  type SharedChans,
} from "./shared-chan.ts";
export { waitReasonChanReceive, waitReasonChanSend } from "./wait-reasons.ts";
export { fatal } from "./sync/mutex.ts";
export { nothing } from "./sync/once.ts";

// runtime: tests of values from programs
export { HChan } from "./chan.ts";
export { checkFunction, checkResult } from "./functions.ts";
export { isBody } from "./op.ts";

// runtime: tasks of several threads
export { TaskGoroutine } from "./goroutine.ts";

// runtime: options and debug switches
export { checkDeadlockMode } from "./deadlock.ts";
export { debugSwitches, parseGodebug } from "./options.ts";

// runtime: the counters' places and the latencies, for its metrics
export { type LatencyRecorder, schedCounters, SCHED_COUNTERS_LENGTH } from "./counters.ts";

// runtime: host code that uses the scheduler first makes the default runtime
export { setDefaultSchedulerMaker } from "./default.ts";

// runtime: goroutines of its own, with Go's wait reasons
export { Note } from "./note.ts";
export { poolCleanup } from "./sync/pool.ts";

// runtime: records of goroutines, for roots, profiles and dumps
export {
  type G,
  Gdead,
  Gpreempted,
  Grunnable,
  Grunning,
  Gsyscall,
  Gwaiting,
  G_CLEANUP,
  G_FINALIZER,
  G_HOST,
  G_MAIN,
  G_SYSTEM,
  m0,
} from "./runtime2.ts";
export {
  waitReasonFinalizerWait,
  waitReasonForceGCIdle,
  waitReasonGCSweepWait,
  waitReasonSemacquire,
  waitReasonSyncCondWait,
  waitReasonSyncMutexLock,
  waitReasonSyncRWMutexLock,
  waitReasonSyncRWMutexRLock,
  waitReasonSyncWaitGroupWait,
  waitReasonStrings,
} from "./wait-reasons.ts";

// runtime: implements the link to the other threads
export {
  GOID_BLOCK,
  type GoroutineDump,
  type MFigures,
  type PFigures,
  type SchedFigures,
  type TaskOrigin,
  type ThreadLink,
  THREADS_HANDLES,
  THREADS_HOPE,
  THREADS_RUN,
} from "./thread-link.ts";

// runtime: stacks of goroutines, for dumps and profiles
export { framesOf, goName, isMarker } from "./frames.ts";
export { gDerived, gSites, gStack } from "./gstack.ts";
export { printpanics, printpanicval } from "./panic.ts";
export { schedtraceText, threadFigures } from "./schedtrace.ts";
export {
  type CurrentG,
  createdBy,
  creationSite,
  currentG,
  dumpHere,
  dumpOthers,
  dumpTask,
  fatalReport,
  gStatusStrings,
  goroutineHeader,
  goroutineText,
  isShown,
  stack,
  stackText,
  systemFunc,
} from "./traceback.ts";

// What users get: siblings import from this entry alone, of which the build makes one file (tsup.one-file.ts).
export * from "./index.ts";
