/**
 * `@gort/runtime/worker`: the entry of a worker thread that runs goroutines for the runtime of another thread. Node
 * starts it by itself. In a bundled program, the module of the workers imports it, and the modules of the tasks:
 *
 *     // worker.ts
 *     import "@gort/runtime/worker";
 *     import "./sums.ts";
 *
 *     // main.ts
 *     const workers = () => new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
 *     const rt = createRuntime({ gomaxprocs: 4, workers });
 *
 * The first message of the runtime says where its memory is. The worker attaches to it, becomes the thread of an M, and
 * takes tasks. Its runtime is the default runtime of the thread.
 */
import { attachLinearMemory } from "@gort/memory/internal";
import type { Threads } from "@gort/threads";
import { setDefaultRuntime } from "./default.ts";
import { setMainModule } from "./modules.ts";
import { describeError } from "./remote-error.ts";
import { attachRuntime, Runtime } from "./runtime.ts";
import { version } from "./version.ts";
import { holdClose, holdLock, onThreadExit, parentPort, throwRejections, workerLoop } from "./worker-host.ts";
import {
  type MainMessage,
  type StartMessage,
  startKey,
  type WorkerMessage,
  type WorkerStart,
} from "./worker-messages.ts";

const parent = parentPort();
if (parent === null) {
  throw new TypeError(
    "runtime: @gort/runtime/worker is the entry of a worker, not a module of the main thread",
  );
}

const onMessage = ({ data }: { data: unknown }): void => {
  const start = (data as Partial<StartMessage> | null)?.[startKey];
  if (start === undefined) return;
  // The program's own messages to the worker are not ours, and must not keep its event loop alive.
  parent.removeEventListener("message", onMessage);
  holdLock((lock) => begin(start, lock));
};

const hasClosed = holdClose();
parent.addEventListener("message", onMessage);
throwRejections();

function begin(start: WorkerStart, lock: string | null): void {
  const { port } = start;
  const send = (message: WorkerMessage): void => port.postMessage(message);
  if (lock !== null) send({ holds: lock });
  let threads: Threads | null = null;
  // Else M 0 could wait for this thread in a stop of the world, and not hear of its end.
  const abandon = (): void => {
    threads?.abandon();
    threads = null;
  };
  onThreadExit(abandon);
  const member = {
    attached(t: Threads): void {
      threads = t;
    },
    left(): void {
      threads = null;
    },
  };
  try {
    // M 0 terminates it now.
    if (hasClosed()) throw new Error("it has closed itself");
    if (start.version !== version()) {
      throw new TypeError(
        `runtime: the worker has ${version()}, but the program has ${start.version}: load one release on all threads`,
      );
    }
    attach(start, send, member);
    send({ ready: true });
  } catch (e) {
    abandon();
    send({ failed: describeError(e) });
  }
}

interface Member {
  attached(threads: Threads): void;
  left(): void;
}

function attach(start: WorkerStart, send: (message: WorkerMessage) => void, member: Member): void {
  const { port, thread } = start;
  setMainModule(start.mainModule);
  let receive: (message: MainMessage) => void = () => {};
  // From now on the port keeps the event loop alive.
  port.onmessage = ({ data }) => receive(data as MainMessage);
  // scavenge.ts says why a worker returns no pages.
  const memory = attachLinearMemory(start.memory, { thread, release: false });
  // In a task of its own: no operation of the runtime is in progress then. The thread ends when the program's own
  // handles are gone, and M 0 does not wait for them long.
  const ended = (): void => {
    setTimeout(() => {
      Runtime.closeWorker(rt);
      member.left();
      port.close();
    }, 0);
  };
  const { attached } = member;
  const onMessage = (f: (message: MainMessage) => void): void => {
    receive = f;
  };
  const rt = attachRuntime({ start, memory, loop: workerLoop(port), send, onMessage, attached, ended });
  setDefaultRuntime(rt);
}
