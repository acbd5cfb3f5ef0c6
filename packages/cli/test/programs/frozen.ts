import {
  caller,
  callers,
  callersFrames,
  gc,
  go,
  int,
  makeChan,
  newObject,
  setBlockProfileRate,
  setFinalizer,
  setMutexProfileFraction,
  sleep,
  stack,
} from "@gort/runtime";
import { background, withTimeout } from "@gort/runtime/context";
import { lookup, startCPUProfile, stopCPUProfile } from "@gort/runtime/pprof";
import { Mutex, WaitGroup } from "@gort/runtime/sync";

/** Uses all features that read stacks, names and errors, and then dies of a panic. */
export default function* main() {
  setBlockProfileRate(1);
  setMutexProfileFraction(1);
  startCPUProfile(() => {});
  const c = makeChan<number>();
  const wg = new WaitGroup();
  const mu = new Mutex();
  for (let i = 0; i < 3; i++) {
    wg.go(function* producer() {
      yield* mu.lock();
      yield* sleep(1);
      mu.unlock();
      yield* c.send(i);
    });
  }
  let sum = 0;
  for (let i = 0; i < 3; i++) sum += (yield* c.recv()) ?? 0;
  yield* wg.wait();
  const { ctx, cancel } = withTimeout(background(), 1);
  yield* ctx.done()!.recv();
  cancel();
  const kept = [];
  for (let i = 0; i < 10_000; i++) kept.push(newObject(int));
  setFinalizer(newObject(int), () => {});
  gc();
  go(function* waiter() {
    yield* c.recv();
  });
  yield* sleep(1);
  const text = new Uint8Array(1 << 16);
  const dump = new TextDecoder().decode(text.subarray(0, stack(text, true)));
  const pcs = new Array<number>(10).fill(0);
  const frames = callersFrames(pcs.slice(0, callers(1, pcs)));
  for (const name of ["heap", "block", "mutex", "goroutine"]) lookup(name)?.toText(1);
  void stopCPUProfile();
  console.log(
    JSON.stringify({
      sum,
      err: String(ctx.err()),
      line: caller(0).line,
      function: frames.next().frame.Function,
      dump: dump.includes("waiter"),
    }),
  );
  throw new Error("the end");
}
