// Tasks that find channels in fields of the heap, and get channels through channels.
import { chan, gc, gosched, int, makeChan, newObject, slice, struct, task } from "@gort/runtime";

const { url } = import.meta;

/** A request that carries the channel of its answer, as Go programs have it. */
export const Request = struct("Request", { n: int, answer: chan(int) });
export const Server = struct("Server", { requests: chan(Request), started: chan(int) });

/** Answers requests until the channel is closed. Nothing but the server's field keeps the channel alive. */
export const serve = task(url, function* serve(server) {
  const { requests, started } = server;
  yield* started.send(1);
  let n = 0;
  yield* requests.forEach(function* (r) {
    const { answer } = r;
    yield* answer.send(r.n * r.n);
    answer.release();
    r.release();
    if (++n % 64 === 0) gc();
  });
});

/** Each answer comes through a channel of its own. Returns by its field how many were right. */
export const ask = task(url, function* ask(server, times, right) {
  for (let i = 0; i < times; i++) {
    const { requests } = server;
    const answer = makeChan(int, i % 2);
    const request = newObject(Request, { n: i, answer });
    yield* requests.send(request);
    request.release();
    if ((yield* answer.recv()) === i * i) right.value++;
    answer.release();
    requests.release();
    if (i % 32 === 0) yield* gosched();
  }
});

/** Passes the channels that it receives on, after it has put a number into each. */
export const relay = task(url, function* relay(from, to) {
  yield* from.forEach(function* (c) {
    yield* c.send(c.capacity);
    yield* to.send(c);
    c.release();
  });
  to.close();
});

export const Board = struct("Board", { places: slice(chan(int)) });

/**
 * Replaces the channels of a board that all threads see. A channel has one element, its capacity, unless another
 * thread has just taken it. Counts what is wrong.
 */
export const replace = task(url, function* replace(board, times, wrong) {
  for (let i = 0; i < times; i++) {
    const at = i % board.places.length;
    const made = makeChan(int, 1 + (i % 7));
    made.trySend(made.capacity);
    const old = board.places.get(at);
    board.places.set(at, made);
    made.release();
    if (old !== null) {
      const { ok, value } = old.tryRecv();
      if (ok && value !== old.capacity) wrong.value++;
      if (ok) old.trySend(value);
      old.release();
    }
    if (i % 100 === 0) gc();
    if (i % 10 === 0) yield* gosched();
  }
});
