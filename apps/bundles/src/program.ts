/** The program of all bundles. Each scenario prints what happens, and `end` at last. */
import { createRuntime, int, lockOSThread, setDefaultRuntime } from "@gort/runtime";
import { fail, Point, square, sum } from "./tasks.ts";

export interface Host {
  readonly workers: (() => object) | undefined;
  /** "sums", or how the task `fail` ends. */
  readonly scenario: string;
  print(line: string): void;
}

export async function run({ workers, scenario, print }: Host): Promise<void> {
  const stderr = (text: string): void => print(text.trimEnd());
  const rt = createRuntime({ gomaxprocs: 3, maxMemory: 64 << 20, ...(workers && { workers }), stderr });
  setDefaultRuntime(rt);
  print(`gomaxprocs ${rt.gomaxprocs()}`);
  try {
    await rt.main(scenario === "sums" ? sums : failing);
  } catch (e) {
    const { name, code, message } = e as Error & { code?: string };
    print(`${name} ${code ?? "-"} ${message}`);
  }
  rt.close();
  print("end");

  function* sums(): Generator<undefined, void> {
    // The tasks run on workers, if there are any.
    lockOSThread();
    const numbers = rt.makeSlice(int, 1000);
    for (let i = 0; i < 1000; i++) numbers.set(i, i);
    const begun = rt.makeSlice(int, 2);
    const totals = rt.makeChan(int, 2);
    rt.go(sum, numbers.slice(0, 500), totals, begun, 0);
    rt.go(sum, numbers.slice(500), totals, begun, 1);
    let total = 0;
    for (let i = 0; i < 2; i++) total += (yield* totals.recv()) ?? 0;
    print(`sum ${total}`);

    const points = rt.makeChan(Point, 2);
    const squares = rt.makeChan(int);
    const g = rt.go(square, points, squares);
    for (let i = 0; i < 3; i++) {
      yield* points.send({ x: i, y: 2 });
      print(`square ${yield* squares.recv()}`);
    }
    points.close();
    yield* g.done();
  }

  function* failing(): Generator<undefined, void> {
    lockOSThread();
    yield* rt.go(fail, scenario).done();
  }
}
