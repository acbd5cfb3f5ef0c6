// Goroutines and channels: the twin of go/sched.go.
import { type Chan, int, type RecvChan, type Runtime, type SendChan } from "@gort/runtime";
import type { Case } from "../child.ts";
import { SPAWN_BATCH } from "./sizes.ts";

/** The number in the name of the benchmark. */
const SIEVE_PRIMES = 2000;

type Body = Generator<undefined, number, unknown>;
/** A channel of JavaScript values, or one in the heap. */
type AnyChan = SendChan<number> & RecvChan<number>;
type Consumer = (c: AnyChan, n: number) => Body;
type Producer = (c: AnyChan, n: number) => Generator<undefined, void, unknown>;

function* send(c: AnyChan, n: number): Generator<undefined, void, unknown> {
  for (let i = 0; i < n; i++) yield* c.send(i);
}

export function* receive(c: RecvChan<number>, n: number): Body {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (yield* c.recv())! & 0xffff;
  return sum;
}

function* trySend(c: AnyChan, n: number): Generator<undefined, void, unknown> {
  for (let i = 0; i < n; i++) c.trySend(i) || (yield* c.send(i));
}

function* tryReceive(c: AnyChan, n: number): Body {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const r = c.tryRecv();
    sum += (r.received ? r.value! : (yield* c.recv())!) & 0xffff;
  }
  return sum;
}

function* sendRoundRobin(cs: readonly Chan<number>[], n: number): Generator<undefined, void, unknown> {
  for (let i = 0; i < n; i++) yield* cs[i % cs.length].send(i);
}

function* filter(from: Chan<number>, to: Chan<number>, prime: number): Generator<undefined, void, unknown> {
  for (;;) {
    const i = (yield* from.recv())!;
    if (i % prime !== 0) yield* to.send(i);
  }
}

function* naturals(to: Chan<number>): Generator<undefined, void, unknown> {
  for (let i = 2; ; i++) yield* to.send(i);
}

/** Sends n integers from one goroutine to another. */
export function transfer(
  rt: Runtime,
  make: () => AnyChan,
  producer: Producer = send,
  consumer: Consumer = receive,
): Case {
  return (n) => () =>
    rt.main(function* () {
      const c = make();
      const done = rt.makeChan<number>();
      rt.go(function* () {
        yield* done.send(yield* consumer(c, n));
      });
      rt.go(producer, c, n);
      return String(yield* done.recv());
    });
}

function channelCases(rt: Runtime): Record<string, Case> {
  const local = (capacity: number) => () => rt.makeChan<number>(capacity);
  const heap = (capacity: number) => () => rt.makeChan(int, capacity);

  const select =
    (k: number): Case =>
    (n) =>
    () =>
      rt.main(function* () {
        const cs = Array.from({ length: k }, () => rt.makeChan<number>());
        const done = rt.makeChan<number>();
        rt.go(function* () {
          const cases = cs.map((c) => rt.recvCase(c));
          let sum = 0;
          for (let i = 0; i < n; i++) sum += (yield* rt.select(cases)).value! & 0xffff;
          yield* done.send(sum);
        });
        rt.go(sendRoundRobin, cs, n);
        return String(yield* done.recv());
      });

  return {
    ChanUnbuffered: transfer(rt, local(0)),
    ChanBuffered100: transfer(rt, local(100)),
    ChanBuffered100Try: transfer(rt, local(100), trySend, tryReceive),
    HeapChanUnbuffered: transfer(rt, heap(0)),
    HeapChanBuffered100: transfer(rt, heap(100)),
    Select2: select(2),
    Select4: select(4),
  };
}

export function goroutineCases(rt: Runtime): Record<string, Case> {
  return {
    GoroutineSpawn: (n) => () =>
      rt.main(function* () {
        let count = 0;
        const f = () => {
          count++;
        };
        for (let started = 0; started < n; ) {
          for (let j = 0; j < SPAWN_BATCH && started < n; j++, started++) rt.go(f);
          while (count < started) yield* rt.gosched();
        }
        return String(count);
      }),

    Gosched: (n) => () =>
      rt.main(function* () {
        let count = 0;
        const done = rt.makeChan<boolean>();
        for (let k = 0; k < 2; k++) {
          rt.go(function* () {
            for (let i = 0; i < n / 2; i++) {
              count++;
              yield* rt.gosched();
            }
            yield* done.send(true);
          });
        }
        yield* done.recv();
        yield* done.recv();
        return String(count);
      }),

    ...channelCases(rt),

    // The filters outlive the work: here they end with main, in Go they wait for ever.
    PrimeSieve2000: () => () =>
      rt.main(function* () {
        let c = rt.makeChan<number>();
        rt.go(naturals, c);
        let prime = 0;
        for (let i = 0; i < SIEVE_PRIMES; i++) {
          prime = (yield* c.recv())!;
          const next = rt.makeChan<number>();
          rt.go(filter, c, next, prime);
          c = next;
        }
        return String(prime);
      }),
  };
}
