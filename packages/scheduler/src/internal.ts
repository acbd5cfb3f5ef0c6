/** For sibling packages; may change with any release. */

// runtime: tests of values from programs
export { HChan } from "./chan.ts";
// runtime: the counters' places, for the metrics
export { type LatencyRecorder, schedCounters, schedCountersLength } from "./counters.ts";
// runtime: the option
export { checkDeadlockMode } from "./deadlock.ts";
// runtime: stacks of goroutines, for dumps and profiles
export { framesOf, goName, isMarker } from "./frames.ts";
// runtime: host code that uses the scheduler first makes the default runtime
export { setDefaultSchedulerMaker } from "./default.ts";
// runtime: functions that a program passes
export { checkFunction, checkResult } from "./functions.ts";
export { gDerived, gSites, gStack } from "./gstack.ts";
// runtime: goroutines of its own, with Go's wait reasons
export { Note } from "./note.ts";
// runtime: functions of finalizers and cleanups
export { isBody } from "./op.ts";
// runtime: its rows of the table of debug switches
export { debugSwitches, parseGodebug } from "./options.ts";
export { printpanics, printpanicval } from "./panic.ts";
// So that every entry needs all of the scheduler, which is then built as one chunk: constants fold within a chunk only.
export { Scheduler } from "./proc.ts";
// runtime: goroutine records for roots, profiles and dumps
export {
  type G,
  Gdead,
  Gpreempted,
  Grunnable,
  Grunning,
  Gsyscall,
  Gwaiting,
  gCleanup,
  gFinalizer,
  gHost,
  gMain,
  gStatusStrings,
  gSystem,
  isShown,
  m0,
  systemFunc,
  waitReasonFinalizerWait,
  waitReasonForceGCIdle,
  waitReasonGCSweepWait,
  waitReasonStrings,
} from "./runtime2.ts";
export { schedtraceText } from "./schedtrace.ts";
// runtime: pools age at its collections
export { poolCleanup } from "./sync/pool.ts";
export {
  // gc, through the facade: who keeps it waiting
  type CurrentG,
  createdBy,
  creationSite,
  currentG,
  dumpOthers,
  goroutineHeader,
  goroutineText,
  stack,
  stackText,
} from "./traceback.ts";
