/**
 * The shared state of all threads, in linear memory. A thread finds it through ROOT_THREADS.
 *
 *     ROOT_THREADS -> SCHED   the block that all threads share
 *                     ms[i] -> MREC   a thread. Registering M i allocates its record; later Ms of index i use it again.
 *                     ps[i] -> PREC   a P, with its ring of tasks. Raising gomaxprocs allocates it.
 *
 * Each record begins on a cache line of 64 bytes. Words that different threads write at the same time lie on different
 * lines, because a write takes the line from all other cores:
 *
 *     SCHED   0    gomaxprocs  mcount  nms  nps               written when Ms and Ps come and go; read by all
 *             64   stopper  command  arg                      stops.ts
 *             128  lock, and what it guards                   ps.ts, runq.ts
 *             192  npidle  nmspinning  npwait  runqsize       read at each task
 *             256  wakes  idleMs                              park.ts
 *             320  goids                                      one write per 16 goroutines of a thread
 *             384  ms[256]  ps[256]                           tables of addresses
 *
 *     MREC    0    inbox                                      written by each thread that posts
 *             64   parked  state  command  woken  p           signals between this thread and others
 *             128  goid  schedtick  goroutines  thread        written by this thread only; readers want figures
 *             192  pwaitNext  loan  loanStamp                 guarded by SCHED.lock
 *
 *     PREC    0    head                                       thieves and owner change it by CAS
 *             64   tail  runnext                              the owner writes; thieves take runnext by CAS
 *             128  id  m  stamp  schedtick                    guarded by SCHED.lock
 *             192  ring[256]                                  slots in [head, tail) hold tasks
 */
import { defineStruct, u32s } from "@gort/memory/internal";

/** Bytes of a cache line on all machines that run Node. */
export const LINE = 64;
/** Ms and Ps at most. A machine with more cores has use for several processes. */
export const MAX_MS = 256;
export const MAX_PS = 256;
/** Tasks in a P's ring: Go's figure. A power of two. */
export const RING = 256;

export const SCHED = defineStruct("sched", {
  gomaxprocs: "u32",
  /** Ms that are not free. */
  mcount: "u32",
  /** Indices of Ms in use are below it. */
  nms: "u32",
  /** Ps that have a record; those from gomaxprocs on are out of use. */
  nps: "u32",
  fill0: u32s(12),
  /** 1 + index of the M that stops the world; 0 while it runs. */
  stopper: "u32",
  /** The command for the stopped Ms, and its argument. */
  command: "u32",
  arg: "u32",
  fill1: u32s(13),
  /** A lock of memory (lock.ts). It guards the words up to nlocked, and p, m, stamp, pwaitNext and loans. */
  lock: "u32",
  /** Bit p % 32 of word p / 32: P p is idle. */
  idlePs: u32s(8),
  /** FIFO of Ms that wait for a P: 1 + index of the first and the last, linked by pwaitNext. 0: none. */
  pwaitHead: "u32",
  pwaitTail: "u32",
  /** The global queue of tasks, linked by their first word. */
  runqHead: "u32",
  runqTail: "u32",
  /** Ms in state M_STARTING. */
  nstarting: "u32",
  /** Ms that goroutines have locked. */
  nlocked: "u32",
  fill2: u32s(1),
  /** Bits set in idlePs. Written under the lock, read by any thread. So are npwait and runqsize. */
  npidle: "u32",
  /** Ms that search for tasks, and Ms that were woken to search. */
  nmspinning: "u32",
  /** Ms in the FIFO. */
  npwait: "u32",
  /** Tasks in the global queue. */
  runqsize: "u32",
  fill3: u32s(12),
  /** Counts the Ms that begin to be busy: that were parked in their event loop, or that are registered. */
  wakes: "u32",
  /** Bit m % 32 of word m / 32: M m has nothing to run and may be woken for a task. */
  idleMs: u32s(8),
  fill4: u32s(7),
  /** Blocks of goids given out. */
  goids: "u32",
  fill5: u32s(15),
  ms: u32s(MAX_MS),
  ps: u32s(MAX_PS),
});

export const MREC = defineStruct("m", {
  /** Posted nodes, newest first, and flags in the low bits: INBOX_SIGNAL, INBOX_CLOSED. */
  inbox: "u32",
  fill0: u32s(15),
  /** PARKED_ASYNC, PARKED_SYNC, or 0: the thread runs. The thread sleeps on this word. */
  parked: "u32",
  /** M_FREE, ... */
  state: "u32",
  /** 1: this M has to run SCHED.command. */
  command: "u32",
  /** WOKEN_SPINNING or WOKEN_IN_VAIN: the thread that took this M from the idle Ms has done with it. 0: none has. */
  woken: "u32",
  /** Address of the P that the M holds; 0: none. */
  p: "u32",
  fill1: u32s(11),
  /** The running goroutine; 0: none. */
  goid: "f64",
  schedtick: "f64",
  goroutines: "f64",
  /** Memory's number of the thread (LinearMemory.thread). */
  thread: "u32",
  fill2: u32s(9),
  /** 1 + index of the next M in the FIFO of SCHED; 0: the last. */
  pwaitNext: "u32",
  /** Address of the P that is lent to this M, and its stamp at that moment; 0: none. See ps.ts. */
  loan: "u32",
  loanStamp: "u32",
  fill3: u32s(13),
});

export const PREC = defineStruct("p", {
  head: "u32",
  fill0: u32s(15),
  tail: "u32",
  /** A task that runs before those of the ring; 0: none. */
  runnext: "u32",
  fill1: u32s(14),
  id: "u32",
  /** 1 + index of the M that holds the P; 0: idle, or out of use. */
  m: "u32",
  /** Counts how often an M has got the P, or a loan of it. */
  stamp: "u32",
  fill2: "u32",
  /** Switches of goroutines by the Ms that have held it. */
  schedtick: "f64",
  fill3: u32s(10),
  ring: u32s(RING),
});

export const SCHED_AT = SCHED.offsets;
export const MREC_AT = MREC.offsets;
export const PREC_AT = PREC.offsets;

/** States of an M. */
export const M_FREE = 0;
/** Registered; its thread has not attached. It has no goroutines and holds no pointers, so stops pass it over. */
export const M_STARTING = 1;
export const M_RUNNING = 2;
/** At a safepoint, where it stays while the world is stopped. It serves commands. */
export const M_STOPPED = 3;
/** Its thread has ended without leaving, and `Ms.died` has noted it. */
export const M_DEAD = 4;
/**
 * A stop has found that its thread has ended, or the thread has said that it is going to (`abandon`). Stops pass it
 * over, whatever it still does. `Ms.died` makes it dead.
 */
export const M_GONE = 5;

/** Values of `parked`. Only PARKED_ASYNC counts as idle. */
export const PARKED_ASYNC = 1;
export const PARKED_SYNC = 2;

/** Values of `woken`. The waker has counted the M as spinning; or it has found no P for the M. */
export const WOKEN_SPINNING = 1;
export const WOKEN_IN_VAIN = 2;

/** Flags of `inbox`. Nodes lie at multiples of 8. */
export const INBOX_SIGNAL = 1;
export const INBOX_CLOSED = 2;
export const INBOX_FLAGS = 7;
