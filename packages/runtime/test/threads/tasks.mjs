// Tasks of the programs in this folder.
import module from "node:module";
import { threadId } from "node:worker_threads";
import { defaultRuntime, gosched, panic, RuntimeError, sleep, syscall, task } from "@gort/runtime";

const { url } = import.meta;
const writeText = (out, text) => {
  for (const [i, byte] of new TextEncoder().encode(text).entries()) out.set(i, byte);
};
const spin = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

/** Adds i to the word at `at`, and 1 to that of the thread. */
export const add = task(url, function* add(at, i, ms = 0) {
  const { kernel } = defaultRuntime().memory;
  spin(ms);
  yield* gosched();
  kernel.add(at, i);
  kernel.add(at + 4 + 4 * threadId, 1);
});

/** Writes the paths of the runtime's files that the thread has loaded, a line each. Each file begins with an Error. */
export const writeFiles = task(url, function writeFiles(out) {
  const packages = new URL("../../../", url).href;
  const files = globalThis[Symbol.for("gort.code")].map(
    ([begin]) => begin.stack.split(packages)[1].split(":")[0],
  );
  writeText(out, files.join("\n"));
});

/** Writes the folder of the thread's compile cache. */
export const writeCache = task(url, function writeCache(out) {
  writeText(out, String(module.getCompileCacheDir?.()));
});

/** Collects in the sink of a heap dump, while this thread has stopped the world. Sends 1 if that is refused. */
export const collectInDump = task(url, function* collectInDump(out) {
  let refused = 0;
  defaultRuntime().writeHeapDump(() => {
    try {
      defaultRuntime().gc();
    } catch (e) {
      refused = e.code === "ERR_GORT_WORLD_STOPPED" ? 1 : 2;
    }
  });
  defaultRuntime().gc();
  yield* out.send(refused);
});

export const fail = task(url, function* fail(how) {
  yield* sleep(1);
  if (how === "error") throw new RangeError("boom");
  if (how === "runtime") throw new RuntimeError("runtime error: boom", "ERR_BOOM");
  if (how === "value") panic({ answer: 42 });
  if (how === "rejection") Promise.reject(new TypeError("unhandled"));
  if (how === "throw")
    setTimeout(() => {
      throw new TypeError("from a timer");
    });
  if (how === "exit") process.exit(3);
  yield* sleep(60_000);
});

/** Sets the word at `at`, and never ends. */
export const forever = task(url, function forever(at) {
  defaultRuntime().memory.kernel.store(at, 1);
  for (;;) spin(1000);
});

export const compute = task(url, function compute(ms) {
  spin(ms);
});

/** Starts tasks, so that this thread asks for another worker. Then sets the word at `at`. */
export const startMany = task(url, function startMany(at) {
  const rt = defaultRuntime();
  for (let i = 0; i < 4; i++) rt.go(nothing);
  rt.memory.kernel.store(at, 1);
  spin(100);
});

/** Sets the word at `at` to 1, and to 2 when it has started tasks that add 1 to the word behind it. */
export const startLate = task(url, function startLate(at) {
  const rt = defaultRuntime();
  rt.memory.kernel.store(at, 1);
  spin(100);
  for (let i = 0; i < 3; i++) rt.go(addOne, at + 4);
  rt.memory.kernel.store(at, 2);
});

export const addOne = task(url, function addOne(at) {
  defaultRuntime().memory.kernel.add(at, 1);
});

/** Sets the word at `at`, and collects n times without a suspension. */
export const collect = task(url, function collect(at, n) {
  const rt = defaultRuntime();
  rt.memory.kernel.store(at, 1);
  for (let i = 0; i < n; i++) rt.gc();
});

/** Waits until n threads have come here, and throws. */
export const failTogether = task(url, function failTogether(at, n) {
  const { kernel } = defaultRuntime().memory;
  kernel.add(at, 1);
  while (kernel.load(at) < n) spin(1);
  throw new RangeError("together");
});

/** Sets the word at `at`, and computes until another thread has set it to 2. */
export const untilSet = task(url, function untilSet(at) {
  const rt = defaultRuntime();
  const { kernel } = rt.memory;
  kernel.store(at, 1);
  while (kernel.load(at) !== 2) rt.safepoint();
});

export const waitForever = task(url, function* waitForever() {
  yield* sleep(1e9);
});

export const nothing = task(url, function nothing() {});

export function* answer(at) {
  yield* gosched();
  defaultRuntime().memory.kernel.store(at, 42);
}

export const deadlocked = task(url, function* deadlocked() {
  yield* defaultRuntime().makeChan().recv();
});

/** Waits for a client of its own server: no goroutine runs, and only the host can wake this one. */
export const serve = task(url, function* serve() {
  const { createServer } = yield* syscall(import("node:http"));
  const got = defaultRuntime().makeChan(1);
  const server = createServer((_, response) => {
    response.end();
    got.trySend(true);
  });
  yield* syscall(new Promise((resolve) => server.listen(0, "127.0.0.1", resolve)));
  const { port } = server.address();
  setTimeout(() => void fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } }), 100);
  yield* got.recv();
  server.close();
});

export const onlyOnMain = threadId === 0 ? task(url, function* onlyOnMain() {}) : null;
