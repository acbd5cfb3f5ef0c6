// Tasks that find channels in fields of the heap, and get channels through channels.
import {
  chan,
  gc,
  gosched,
  int,
  makeChan,
  makeSlice,
  newObject,
  slice,
  string,
  struct,
  task,
} from "@gort/runtime";

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

/** Sends the texts of the numbers from `from` to `to`, in batches of several sizes. */
export const sendTexts = task(url, function* sendTexts(c, from, to) {
  for (let i = from; i < to; ) {
    const batch = makeSlice(string, Math.min(1 + (i % 13), to - i));
    for (let k = 0; k < batch.length; k++) batch.set(k, `text ${i++}`);
    if (i % 7 === 0) gc();
    yield* c.sendAll(batch);
    batch.release();
  }
});

/** Receives batches until the channel is closed. Returns by `sum` the sum of the numbers, and counts them. */
export const receiveTexts = task(url, function* receiveTexts(c, size, sum, count) {
  const batch = makeSlice(string, size);
  for (let n = yield* c.recvInto(batch); n > 0; n = yield* c.recvInto(batch)) {
    for (let k = 0; k < n; k++) {
      const text = batch.get(k);
      if (!text.startsWith("text ")) throw new Error(`received ${text}`);
      sum.value += Number(text.slice(5));
    }
    count.value += n;
    if (count.value % 11 === 0) yield* gosched();
  }
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
