/** Why a goroutine waits. */

/** The text of a wait reason, by number. Texts and numbers are Go's. */
export const waitReasonStrings: readonly string[] = [
  "",
  "GC assist marking",
  "IO wait",
  "dumping heap",
  "garbage collection",
  "garbage collection scan",
  "panicwait",
  "GC assist wait",
  "GC sweep wait",
  "GC scavenge wait",
  "finalizer wait",
  "force gc (idle)",
  "GOMAXPROCS updater (idle)",
  "semacquire",
  "sleep",
  "chan receive (nil chan)",
  "chan send (nil chan)",
  "select (no cases)",
  "select",
  "chan receive",
  "chan send",
  "sync.Cond.Wait",
  "sync.Mutex.Lock",
  "sync.RWMutex.RLock",
  "sync.RWMutex.Lock",
  "sync.WaitGroup.Wait",
  "trace reader (blocked)",
  "wait for GC cycle",
  "GC worker (idle)",
  "GC worker (active)",
  "preempted",
  "debug call",
  "GC mark termination",
  "stopping the world",
  "flushing proc caches",
  "trace goroutine status",
  "trace proc status",
  "page trace flush",
  "coroutine",
  "GC weak to strong wait",
  "synctest.Run",
  "synctest.Wait",
  "chan receive (durable)",
  "chan send (durable)",
  "select (durable)",
  "sync.WaitGroup.Wait (durable)",
  "cleanup wait",
];

export const waitReasonZero = 0;
export const waitReasonGCSweepWait = 8;
export const waitReasonFinalizerWait = 10;
export const waitReasonForceGCIdle = 11;
export const waitReasonSemacquire = 13;
export const waitReasonSleep = 14;
export const waitReasonChanReceiveNilChan = 15;
export const waitReasonChanSendNilChan = 16;
export const waitReasonSelectNoCases = 17;
export const waitReasonSelect = 18;
export const waitReasonChanReceive = 19;
export const waitReasonChanSend = 20;
export const waitReasonSyncCondWait = 21;
export const waitReasonSyncMutexLock = 22;
export const waitReasonSyncRWMutexRLock = 23;
export const waitReasonSyncRWMutexLock = 24;
export const waitReasonSyncWaitGroupWait = 25;
export const waitReasonSynctestWait = 41;
