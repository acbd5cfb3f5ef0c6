// Programs whose threads share channels by fields, and by channels of channels: `node chans.mjs NAME`.
import { chan, int, lockOSThread, makeChan, makeSlice, newObject, string } from "@gort/runtime";
import * as tasks from "./chan-tasks.mjs";
import { runtime } from "./kit.mjs";

const rt = runtime({ gogc: 50 });

const programs = {
  // The main thread runs no task, so servers and clients are on workers.
  *fields() {
    const server = newObject(tasks.Server, { requests: makeChan(tasks.Request, 2), started: makeChan(int) });
    const servers = [1, 2].map(() => rt.go(tasks.serve, server));
    const { started } = server;
    for (const _ of servers) yield* started.recv();
    const right = [1, 2, 3].map(() => newObject(int));
    const clients = right.map((r) => rt.go(tasks.ask, server, 300, r));
    for (const g of clients) yield* g.done();
    server.requests.close();
    server.requests = null;
    for (const g of servers) yield* g.done();
    return right.map((r) => r.value);
  },
  *chans() {
    const [from, to] = [makeChan(chan(int), 3), makeChan(chan(int))];
    rt.go(tasks.relay, from, to);
    rt.go(function* () {
      for (let i = 1; i <= 500; i++) {
        const c = makeChan(int, i);
        yield* from.send(c);
        c.release();
        if (i % 50 === 0) rt.gc();
      }
      from.close();
    });
    let sum = 0;
    yield* to.forEach(function* (c) {
      if (c.length === 1 && c.capacity === (yield* c.recv())) sum += c.capacity;
      c.release();
    });
    return sum;
  },
  *batches() {
    const sums = [];
    for (const capacity of [0, 3, 100]) {
      const c = makeChan(string, capacity);
      const senders = [0, 1, 2].map((k) => rt.go(tasks.sendTexts, c, 1000 * k, 1000 * (k + 1)));
      const [sum, count] = [newObject(int), newObject(int)];
      const other = [newObject(int), newObject(int)];
      const receivers = [
        rt.go(tasks.receiveTexts, c, 17, sum, count),
        rt.go(tasks.receiveTexts, c, 5, ...other),
      ];
      for (const g of senders) yield* g.done();
      c.close();
      for (const g of receivers) yield* g.done();
      sums.push(sum.value + other[0].value, count.value + other[1].value);
    }
    return sums;
  },
  *replace() {
    const board = newObject(tasks.Board, { places: makeSlice(chan(int), 4) });
    const wrong = [1, 2, 3].map(() => newObject(int));
    const all = wrong.map((w) => rt.go(tasks.replace, board, 1500, w));
    for (const g of all) yield* g.done();
    return wrong.map((w) => w.value);
  },
};

const result = await rt.main(function* () {
  lockOSThread();
  return yield* programs[process.argv[2]]();
});
console.log(JSON.stringify(result));
