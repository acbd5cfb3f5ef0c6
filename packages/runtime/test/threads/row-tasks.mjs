// The two sides of the rows of chan_select, as tasks and as functions for the goroutines of the main thread.
import { cap, defaultCase, len, recvCase, select, sendCase, task } from "@gort/runtime";

const { url } = import.meta;

/** What an operation has given, in three numbers: a task has no result. */
export const NOTHING = 0;
export const NUMBER = 1;
/** A number, and whether the channel was open. */
export const PAIR = 2;
/** A text, by its index. */
export const TEXT = 3;
/** A text and whether the channel was open, or has ended. */
export const TEXT_PAIR = 4;
export const BOOL = 5;
/** A panic, by the index of its message. */
export const PANIC = 6;

export const texts = ["sent", "closed", "default", "no value", "ended"];
export const panics = ["send on closed channel", "close of closed channel"];

const text = (name) => [TEXT, texts.indexOf(name), 0];
const pair = ({ value, ok }) => [PAIR, value ?? 0, ok ? 1 : 0];

function* perform(op, c, v) {
  switch (op) {
    case "send":
      yield* c.send(v);
      return text("sent");
    case "recv":
      return [NUMBER, (yield* c.recv()) ?? 0, 0];
    case "recv2":
      return pair(yield* c.recv2());
    case "close":
      c.close();
      return text("closed");
    case "len":
      return [NUMBER, len(c), 0];
    case "cap":
      return [NUMBER, cap(c), 0];
    case "select_send":
      yield* select([sendCase(c, v)]);
      return text("sent");
    case "select_recv":
      return [NUMBER, (yield* select([recvCase(c)])).value ?? 0, 0];
    case "select_recv2":
      return pair(yield* select([recvCase(c)]));
    case "select_send_default":
      return text((yield* select([sendCase(c, v), defaultCase])).index === 0 ? "sent" : "default");
    case "select_recv_default": {
      const r = yield* select([recvCase(c), defaultCase]);
      return r.index === 0 ? [NUMBER, r.value ?? 0, 0] : text("default");
    }
    case "select_recv2_default": {
      const r = yield* select([recvCase(c), defaultCase]);
      return r.index === 0 ? pair(r) : text("default");
    }
    case "range_first": {
      const r = yield* c.recv2();
      return r.ok ? [TEXT_PAIR, -1, r.value] : text("ended");
    }
    case "reflect_TrySend":
      return [BOOL, c.trySend(v) ? 1 : 0, 0];
    case "reflect_TryRecv": {
      const r = c.tryRecv();
      return r.received ? pair(r) : [TEXT_PAIR, texts.indexOf("no value"), r.ok ? 1 : 0];
    }
    default:
      throw new Error(`unknown op ${op}`);
  }
}

/** Performs the operation, and writes what it gives to out[1 to 3], then 1 to out[0]. */
export function* operate(op, c, v, out) {
  let result;
  try {
    result = yield* perform(op, c, v);
  } catch (e) {
    if (!panics.includes(e.message)) throw e;
    result = [PANIC, panics.indexOf(e.message), e.goType === "runtime.plainError" ? 1 : 0];
  }
  for (let i = 0; i < 3; i++) out.set(i + 1, result[i]);
  out.set(0, 1);
}

export const operateTask = task(url, operate);
