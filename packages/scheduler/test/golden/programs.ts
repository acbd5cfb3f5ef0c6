/**
 * The Go programs of this folder, written with this package. Each gets a `println` that collects its output, which must
 * equal the NAME.txt that Go printed (GOMAXPROCS=1).
 */

import * as context from "../../src/context.ts";
import {
  after,
  afterFunc,
  type Chan,
  defaultCase,
  defer,
  frame,
  go,
  goexit,
  gosched,
  makeChan,
  newTicker,
  newTimer,
  numGoroutine,
  panic,
  type RecvChan,
  recover,
  recvCase,
  type SendChan,
  select,
  sendCase,
  sleep,
} from "../../src/index.ts";
import { Cond, Mutex, Once, onceFunc, onceValue, RWMutex, SyncMap, WaitGroup } from "../../src/sync/index.ts";

type Body<T = void> = Generator<undefined, T, unknown>;
export type Println = (...values: unknown[]) => void;
export type Program = (println: Println, now: () => number) => Body;

/** The text that Go's fmt gives a value. */
export function show(v: unknown): string {
  if (v === null || v === undefined) return "<nil>";
  if (Array.isArray(v)) return `[${v.map(show).join(" ")}]`;
  if (v instanceof Error) return v.message;
  return String(v);
}

const prime = 1000003;
function power(b: number, e: number): number {
  let r = 1n;
  let x = BigInt(b);
  const p = BigInt(prime);
  for (; e > 0; e >>= 1) {
    if (e & 1) r = (r * x) % p;
    x = (x * x) % p;
  }
  return Number(r);
}
const mulmod = (a: number, b: number) => Number((BigInt(a) * BigInt(b)) % BigInt(prime));
const inverse = (a: number) => power(a, prime - 2);
const lcg = (x: number) => Number((BigInt(x) * 1103515245n + 12345n) % 2147483648n);

function rep(c: number): Chan<number> {
  const out = makeChan<number>();
  go(function* () {
    for (;;) yield* out.send(c);
  });
  return out;
}

function split(input: Chan<number>): [Chan<number>, Chan<number>] {
  const a = makeChan<number>();
  const b = makeChan<number>();
  go(function* () {
    const qa: number[] = [];
    const qb: number[] = [];
    for (;;) {
      if (qa.length === 0 && qb.length === 0) {
        const v = (yield* input.recv())!;
        qa.push(v);
        qb.push(v);
      }
      const ca = qa.length > 0 ? a : null;
      const cb = qb.length > 0 ? b : null;
      const src = ca === null || cb === null ? input : null;
      const r = yield* select([sendCase(ca, qa[0]), sendCase(cb, qb[0]), recvCase(src)]);
      if (r.index === 0) qa.shift();
      else if (r.index === 1) qb.shift();
      else {
        qa.push(r.value!);
        qb.push(r.value!);
      }
    }
  });
  return [a, b];
}

function add(f: Chan<number>, g: Chan<number>): Chan<number> {
  const out = makeChan<number>();
  go(function* () {
    for (;;) {
      const a = (yield* f.recv())!;
      const b = (yield* g.recv())!;
      yield* out.send((a + b) % prime);
    }
  });
  return out;
}

function scale(c: number, f: Chan<number>): Chan<number> {
  const out = makeChan<number>();
  go(function* () {
    for (;;) yield* out.send(mulmod(c, (yield* f.recv())!));
  });
  return out;
}

function multiply(f: Chan<number>, g: Chan<number>): Chan<number> {
  const out = makeChan<number>();
  go(function* () {
    const fs: number[] = [];
    const gs: number[] = [];
    for (;;) {
      fs.push((yield* f.recv())!);
      gs.push((yield* g.recv())!);
      let s = 0;
      const n = fs.length;
      for (let i = 0; i < n; i++) s = (s + mulmod(fs[i], gs[n - 1 - i])) % prime;
      yield* out.send(s);
    }
  });
  return out;
}

function integrate(c: number, f: Chan<number>): Chan<number> {
  const out = makeChan<number>();
  go(function* () {
    yield* out.send(c);
    for (let i = 1; ; i++) yield* out.send(mulmod((yield* f.recv())!, inverse(i)));
  });
  return out;
}

function exponential(): Chan<number> {
  const out = makeChan<number>();
  const back = makeChan<number>();
  const [a, b] = split(integrate(1, back));
  go(function* () {
    for (;;) yield* back.send((yield* a.recv())!);
  });
  go(function* () {
    for (;;) yield* out.send((yield* b.recv())!);
  });
  return out;
}

interface Tree {
  l: Tree | null;
  r: Tree | null;
  v: number;
}
function insert(t: Tree | null, v: number): Tree {
  if (t === null) return { l: null, r: null, v };
  if (v < t.v) t.l = insert(t.l, v);
  else t.r = insert(t.r, v);
  return t;
}
function build(k: number, start: number): Tree {
  let t: Tree | null = null;
  for (let i = 0; i < 10; i++) t = insert(t, k * (((i * 7 + start) % 10) + 1));
  return t!;
}
function* walk(t: Tree, c: SendChan<number>): Body {
  function* rec(t: Tree | null): Body {
    if (t === null) return;
    yield* rec(t.l);
    yield* c.send(t.v);
    yield* rec(t.r);
  }
  yield* rec(t);
  c.close();
}
function* same(a: Tree, b: Tree): Body<boolean> {
  const ca = makeChan<number>();
  const cb = makeChan<number>();
  go(walk, a, ca);
  go(walk, b, cb);
  for (;;) {
    const x = yield* ca.recv2();
    const y = yield* cb.recv2();
    if (x.ok !== y.ok || x.value !== y.value) return false;
    if (!x.ok) return true;
  }
}

export const programs: Record<string, Program> = {
  *pingpong(println) {
    const ping = makeChan<number>();
    const pong = makeChan<number>();
    go(function* () {
      yield* ping.forEach(function* (v) {
        println("pong got", v);
        yield* pong.send(v * 10);
      });
      pong.close();
    });
    for (let i = 1; i <= 5; i++) {
      yield* ping.send(i);
      println("ping got", yield* pong.recv());
    }
    ping.close();
    const { value, ok } = yield* pong.recv2();
    println(value ?? 0, ok);
  },

  *sieve(println) {
    function* generate(ch: SendChan<number>): Body {
      for (let i = 2; ; i++) yield* ch.send(i);
    }
    function* filter(input: RecvChan<number>, out: SendChan<number>, prime: number): Body {
      for (;;) {
        const i = (yield* input.recv())!;
        if (i % prime !== 0) yield* out.send(i);
      }
    }
    let ch = makeChan<number>();
    go(generate, ch);
    for (let i = 0; i < 100; i++) {
      const prime = (yield* ch.recv())!;
      println(prime);
      const ch1 = makeChan<number>();
      go(filter, ch, ch1, prime);
      ch = ch1;
    }
  },

  *powerseries(println) {
    function* print(name: string, f: Chan<number>): Body {
      let line = `${name}:`;
      for (let i = 0; i < 12; i++) line += ` ${yield* f.recv()}`;
      println(line);
    }
    yield* print("ones", rep(1));
    yield* print("sum", add(rep(1), scale(2, rep(3))));
    yield* print("square", multiply(rep(1), rep(1)));
    yield* print("log", integrate(0, rep(1)));
    yield* print("exp", exponential());
    yield* print("exp*exp", multiply(exponential(), exponential()));
    const [a, b] = split(integrate(5, rep(7)));
    yield* print("a", a);
    yield* print("b", b);
  },

  *philosophers(println) {
    const n = 5;
    const forks = Array.from({ length: n }, () => new Mutex());
    const wg = new WaitGroup();
    const eaten = new Array<number>(n).fill(0);
    for (let i = 0; i < n; i++) {
      wg.go(function* () {
        const a = Math.min(i, (i + 1) % n);
        const b = Math.max(i, (i + 1) % n);
        for (let meal = 0; meal < 3; meal++) {
          yield* forks[a].lock();
          yield* sleep(1);
          yield* forks[b].lock();
          eaten[i]++;
          yield* sleep(1);
          forks[b].unlock();
          forks[a].unlock();
        }
      });
    }
    yield* wg.wait();
    println("eaten", eaten);
  },

  *ratelimiter(println, now) {
    const requests = makeChan<number>(8);
    for (let i = 1; i <= 8; i++) yield* requests.send(i);
    requests.close();
    const burst = makeChan<number>(3);
    for (let i = 0; i < 3; i++) yield* burst.send(0);
    const t = newTicker(50);
    go(function* () {
      yield* t.C.forEach(function* (x) {
        yield* burst.send(x);
      });
    });
    const start = now();
    yield* requests.forEach(function* (r) {
      yield* burst.recv();
      println("request", r, "after", Math.trunc((now() - start + 25) / 50), "ticks");
    });
    t.stop();
  },

  *workerpool(println) {
    const jobs = makeChan<number>(20);
    const results = makeChan<[number, number]>(20);
    const wg = new WaitGroup();
    for (let w = 0; w < 4; w++) {
      wg.go(function* () {
        yield* jobs.forEach(function* (j) {
          yield* results.send([j, j * j]);
        });
      });
    }
    for (let j = 1; j <= 20; j++) yield* jobs.send(j);
    jobs.close();
    yield* wg.wait();
    results.close();
    const got = new Map<number, number>();
    yield* results.forEach(([j, x]) => {
      got.set(j, x);
    });
    for (let j = 1; j <= 20; j++) println(j, got.get(j));
  },

  *pubsub(println) {
    const sub = makeChan<Chan<string>>();
    const unsub = makeChan<Chan<string>>();
    const pub = makeChan<string>();
    const stop = makeChan<boolean>();
    go(function* hub() {
      let list: Chan<string>[] = [];
      for (;;) {
        const r = yield* select([recvCase(sub), recvCase(unsub), recvCase(pub), recvCase(stop)]);
        if (r.index === 0) list.push(r.value as Chan<string>);
        else if (r.index === 1) {
          list = list.filter((x) => x !== r.value);
          (r.value as Chan<string>).close();
        } else if (r.index === 2) for (const c of list) yield* c.send(r.value as string);
        else {
          for (const c of list) c.close();
          stop.close();
          return;
        }
      }
    });
    const a = makeChan<string>(10);
    const b = makeChan<string>(10);
    yield* sub.send(a);
    yield* pub.send("one");
    yield* sub.send(b);
    yield* pub.send("two");
    yield* unsub.send(a);
    yield* pub.send("three");
    yield* stop.send(true);
    yield* stop.recv();
    yield* a.forEach((m) => {
      println("a", m);
    });
    yield* b.forEach((m) => {
      println("b", m);
    });
  },

  *quicksort(println) {
    function* sort(a: Int32Array, done: SendChan<boolean>): Body {
      if (a.length > 1) {
        const p = a[a.length - 1];
        let i = 0;
        for (let j = 0; j < a.length; j++) {
          if (a[j] < p) {
            [a[i], a[j]] = [a[j], a[i]];
            i++;
          }
        }
        [a[i], a[a.length - 1]] = [a[a.length - 1], a[i]];
        const sub = makeChan<boolean>();
        go(sort, a.subarray(0, i), sub);
        go(sort, a.subarray(i + 1), sub);
        yield* sub.recv();
        yield* sub.recv();
      }
      yield* done.send(true);
    }
    const a = new Int32Array(200);
    let x = 12345;
    for (let i = 0; i < a.length; i++) {
      x = lcg(x);
      a[i] = (x >> 8) % 1000;
    }
    const done = makeChan<boolean>();
    go(sort, a, done);
    yield* done.recv();
    println([...a]);
  },

  *fanin(println) {
    const count = (name: string, n: number): Chan<string> => {
      const c = makeChan<string>();
      go(function* () {
        for (let i = 0; i < n; i++) yield* c.send(name + i);
        c.close();
      });
      return c;
    };
    let a: Chan<string> | null = count("a", 5);
    let b: Chan<string> | null = count("b", 7);
    const seen = new Set<string>();
    const last: Record<string, string> = {};
    while (a !== null || b !== null) {
      const r = yield* select([recvCase<string>(a), recvCase<string>(b)]);
      if (!r.ok) {
        if (r.index === 0) a = null;
        else b = null;
        continue;
      }
      seen.add(r.value);
      last[r.value[0]] = r.value!;
    }
    println(seen.size, last.a, last.b);
  },

  *pipeline(println) {
    const stage = (input: RecvChan<number>, f: (x: number) => number): Chan<number> => {
      const out = makeChan<number>(2);
      go(function* () {
        defer(() => out.close());
        yield* input.forEach(function* (v) {
          yield* out.send(f(v));
        });
      });
      return out;
    };
    const src = makeChan<number>();
    go(function* () {
      defer(() => src.close());
      for (let i = 0; i < 10; i++) yield* src.send(i);
    });
    let line = "";
    let sum = 0;
    yield* stage(
      stage(src, (x) => x * x),
      (x) => x + 1,
    ).forEach((v) => {
      line += `${v} `;
      sum += v;
    });
    println(line + sum);
  },

  *boundedbuffer(println) {
    const mu = new Mutex();
    const notFull = new Cond(mu);
    const notEmpty = new Cond(mu);
    const items: number[] = [];
    function* put(x: number): Body {
      yield* mu.lock();
      while (items.length === 3) yield* notFull.wait();
      items.push(x);
      notEmpty.signal();
      mu.unlock();
    }
    function* get(): Body<number> {
      return (yield* frame(function* () {
        yield* mu.lock();
        defer(() => mu.unlock());
        while (items.length === 0) yield* notEmpty.wait();
        const x = items.shift()!;
        notFull.signal();
        return x;
      }))!;
    }
    for (let p = 0; p < 3; p++) {
      go(function* () {
        for (let i = 0; i < 10; i++) yield* put(p * 100 + i);
      });
    }
    const next = [0, 0, 0];
    let ordered = true;
    let sum = 0;
    for (let i = 0; i < 30; i++) {
      const x = yield* get();
      sum += x;
      const p = Math.trunc(x / 100);
      if (x % 100 !== next[p]) ordered = false;
      next[p]++;
    }
    println(sum, ordered, next);
  },

  *barrier(println) {
    const bmu = new Mutex();
    const cond = new Cond(bmu);
    let count = 0;
    let generation = 0;
    function* wait(): Body {
      yield* frame(function* () {
        yield* bmu.lock();
        defer(() => bmu.unlock());
        const gen = generation;
        if (++count === 4) {
          count = 0;
          generation++;
          cond.broadcast();
          return;
        }
        while (gen === generation) yield* cond.wait();
      });
    }
    const wg = new WaitGroup();
    const mu = new Mutex();
    const phase = [0, 0, 0];
    let bad = 0;
    for (let g = 0; g < 4; g++) {
      wg.go(function* () {
        for (let p = 0; p < 3; p++) {
          yield* mu.lock();
          phase[p]++;
          mu.unlock();
          yield* wait();
          yield* mu.lock();
          if (phase[p] !== 4) bad++;
          mu.unlock();
        }
      });
    }
    yield* wg.wait();
    println(phase, bad);
  },

  *contexttree(println) {
    const user = "main.key";
    const root = context.withValue(context.background(), user, "gopher");
    const { ctx: a, cancel: cancelA } = context.withCancelCause(root);
    const { ctx: b, cancel: cancelB } = context.withTimeout(a, 3_600_000);
    const { ctx: c, cancel: cancelC } = context.withTimeout(b, 5);
    defer(cancelB);
    defer(cancelC);
    const free = context.withoutCancel(b);
    const ran = makeChan<string>(1);
    context.afterFunc(a, function* () {
      yield* ran.send("after func");
    });
    const stop = context.afterFunc(a, function* () {
      yield* ran.send("never");
    });
    println("stopped", stop(), stop());
    yield* c.done()!.recv();
    println("c", c.err(), context.cause(c), "b", b.err());
    cancelA(new Error("enough"));
    yield* b.done()!.recv();
    println("b", b.err(), context.cause(b));
    println("c", c.err(), context.cause(c));
    println("free", free.err(), free.value(user), free.done() === null);
    println(yield* ran.recv());
    println(a.deadline() !== null, c.deadline() !== null, b.value(user), b.value("none"));
    const { ctx: d, cancel: cancelD } = context.withCancel(a);
    println("d", d.err(), context.cause(d));
    cancelD();
    println(c.err() === context.deadlineExceeded, a);
  },

  *panics(println) {
    function* f(n: number): Body<string> {
      let r = "fine";
      yield* frame(function* () {
        defer(() => {
          println("defer", n, "of f");
          const e = recover();
          if (e !== null) r = `recovered ${show(e)}`;
        });
        if (n === 0) panic("bottom");
        if (n === 3) panic(new Error("at three"));
        const s: string = yield* f(n - 1);
        println("f", n, "got", s);
      });
      return r;
    }
    println(yield* f(2));
    println(yield* f(4));
    yield* frame(() => {
      defer(() => println("outer", recover()));
      defer(function* () {
        yield* frame(() => {
          defer(() => println("inner", recover()));
          panic("second");
        });
      });
      panic("first");
    });
    yield* frame(() => {
      defer(() => println("got", recover()));
      defer(() => panic("new"));
      panic("old");
    });
    yield* frame(() => {
      defer(() => println("again", recover()));
      defer(() => println("once", recover()));
      panic("only");
    });
    yield* frame(() => {
      for (let i = 0; i < 3; i++) defer(() => println("deferred", i));
      println("body");
    });
    println("recover outside:", recover());
  },

  *recovering(println) {
    const wg = new WaitGroup();
    function* run(name: string, f: () => Body): Body {
      wg.add(1);
      go(function* () {
        defer(() => wg.done());
        defer(() => println(name, "ends:", recover()));
        yield* frame(f);
        println(name, "goes on");
      });
      yield* wg.wait();
    }
    const say = (what: string) => defer(() => println(" ", what, recover()));

    yield* run("recovered in the frame of Goexit", function* () {
      yield* frame(() => {
        say("outer");
        say("got");
        defer(() => panic("a"));
        goexit();
      });
      println("  the caller goes on");
    });
    yield* run("recovered in a frame further out", function* () {
      yield* frame(function* () {
        say("got");
        yield* frame(() => {
          defer(() => panic("b"));
          goexit();
        });
        println("  not reached");
      });
      println("  not reached");
    });
    yield* run("recovered inside of a deferred call", function* () {
      say("then");
      defer(function* () {
        yield* frame(() => {
          say("got");
          panic("c");
        });
        println("  the deferred call goes on");
      });
      goexit();
    });
    yield* run("interrupted twice", function* () {
      say("third");
      say("second");
      defer(() => panic("e"));
      say("first");
      defer(() => panic("d"));
      goexit();
    });
    yield* run("a panic replaces the one that interrupted", function* () {
      say("second");
      say("first");
      defer(() => panic("new"));
      defer(() => panic("old"));
      goexit();
    });
    yield* run("Goexit while panicking", function* () {
      say("then");
      defer(goexit);
      panic("f");
    });
    yield* run("Goexit after recover", function* () {
      say("then");
      defer(() => {
        println("  got", recover());
        goexit();
      });
      panic("g");
    });
    yield* run("Goexit twice", function* () {
      say("then");
      defer(goexit);
      goexit();
    });
    const gotAnd = () =>
      defer(() => {
        println("  got", recover());
        println("  and", recover());
      });
    yield* run("the same value again", function* () {
      gotAnd();
      defer(() => panic(recover()));
      panic("h");
    });
    yield* run("another value", function* () {
      gotAnd();
      defer(() => {
        println("  first", recover());
        panic("j");
      });
      panic("i");
    });
    yield* run("a panic while another is recovered", function* () {
      say("last");
      defer(function* () {
        println("  outer", recover());
        yield* frame(() => {
          say("inner");
          panic("l");
        });
        println("  and", recover());
      });
      panic("k");
    });
    yield* run("nil", function* () {
      say("got");
      panic(null);
    });
    yield* run("a deferred nil", function* () {
      say("got");
      defer(null as never);
      defer(() => println("  before it"));
      println("  the body");
    });
    yield* run("a value whose String panics", function* () {
      const loud = {
        toString(): string {
          throw new Error("toString was called");
        },
      };
      defer(() => println("  got the value", recover() === loud));
      panic(loud);
    });
    yield* run("deferred calls that wait", function* () {
      say("got");
      defer(function* () {
        const done = makeChan<boolean>();
        go(function* () {
          defer(() => done.close());
          defer(() => println("  the other got", recover()));
          defer(() => sleep(1));
          panic("n");
        });
        yield* done.recv();
        println("  waited");
      });
      defer(function* () {
        yield* sleep(1);
        panic("m2");
      });
      panic("m1");
    });
    const fired = makeChan<boolean>();
    afterFunc(1, () => {
      defer(() => fired.close());
      defer(() => println("timer got", recover()));
      defer(() => panic("o"));
      goexit();
    });
    yield* fired.recv();
    println("done", numGoroutine());
  },

  *goexit(println) {
    function* inner(): Body {
      yield* frame(() => {
        defer(() => println("inner deferred"));
        goexit();
      });
      println("not reached");
    }
    const wg = new WaitGroup();
    wg.add(1);
    go(function* () {
      defer(() => wg.done());
      defer(() => println("recover:", recover()));
      defer(() => println("outer deferred"));
      yield* inner();
      println("not reached either");
    });
    yield* wg.wait();
    wg.add(1);
    go(() => {
      defer(() => wg.done());
      defer(() => println("then", recover()));
      defer(function* () {
        yield* frame(() => {
          defer(() => println("stopped", recover()));
          panic("while exiting");
        });
      });
      goexit();
    });
    yield* wg.wait();
    println("done", numGoroutine());
  },

  *timers(println, now) {
    const t = newTimer(20);
    println("stop", t.stop(), t.stop());
    println("reset", t.reset(10), t.C.length, t.C.capacity);
    yield* t.C.recv();
    println("fired; stop", t.stop());
    t.reset(5);
    yield* sleep(30);
    println("len", t.C.length, "stop takes the value back", t.stop());
    const r = yield* select([recvCase(t.C), defaultCase]);
    println(r.index === 0 ? "stale" : "nothing");
    t.reset(5);
    yield* sleep(30);
    println("reset takes the value back", t.reset(20));
    const start = now();
    yield* t.C.recv();
    println("waited", now() - start >= 15);
    const k = newTicker(20);
    for (let i = 0; i < 3; i++) {
      yield* k.C.recv();
      println("tick", i);
    }
    yield* sleep(70);
    let n = 0;
    while (k.C.tryRecv().received) n++;
    println("ticks kept", n);
    k.stop();
    const done = makeChan<boolean>();
    const f = afterFunc(3_600_000, () => done.close());
    println("f reset", f.reset(5));
    yield* done.recv();
    println("f stop", f.stop(), f.C === null);
    const q = yield* select([recvCase(after(5)), recvCase(makeChan<number>())]);
    if (q.index === 0) println("timeout");
  },

  *once(println) {
    const o = new Once();
    const wg = new WaitGroup();
    let n = 0;
    for (let i = 0; i < 10; i++) {
      wg.go(function* () {
        yield* o.do(() => n++);
      });
    }
    yield* wg.wait();
    println(n);
    const p = new Once();
    yield* frame(function* () {
      defer(() => println(recover()));
      yield* p.do(() => panic("in once"));
    });
    yield* p.do(() => println("not again"));
    let calls = 0;
    const v = onceValue(() => {
      calls++;
      return 42;
    });
    println(yield* v(), yield* v(), calls);
    const f = onceFunc(() => panic("each time"));
    for (let i = 0; i < 2; i++) {
      yield* frame(function* () {
        defer(() => println(recover()));
        yield* f();
      });
    }
  },

  *rwmutex(println) {
    const rw = new RWMutex();
    const wg = new WaitGroup();
    const reader = (name: string, at: number, hold: number) =>
      wg.go(function* () {
        yield* sleep(at);
        yield* rw.rLock();
        println(`${name} in`);
        yield* sleep(hold);
        println(`${name} out`);
        rw.rUnlock();
      });
    const writer = (name: string, at: number, hold: number) =>
      wg.go(function* () {
        yield* sleep(at);
        yield* rw.lock();
        println(`${name} in`);
        yield* sleep(hold);
        println(`${name} out`);
        rw.unlock();
      });
    reader("r1", 0, 100);
    reader("r2", 20, 40);
    writer("w1", 40, 40);
    reader("r3", 80, 20);
    writer("w2", 160, 20);
    yield* wg.wait();
    println(rw.tryLock(), rw.tryRLock(), rw.tryLock());
    rw.unlock();
    println(rw.tryRLock(), rw.tryRLock(), rw.tryLock());
  },

  *treewalk(println) {
    const c = makeChan<number>();
    go(walk, build(1, 3), c);
    let line = "";
    yield* c.forEach((v) => {
      line += `${v} `;
    });
    println(line);
    println(yield* same(build(1, 0), build(1, 5)), yield* same(build(1, 0), build(2, 0)));
  },

  *crawler(println) {
    const pages: Record<string, string[]> = {
      "/": ["/pkg/", "/cmd/"],
      "/pkg/": ["/", "/cmd/", "/pkg/fmt/", "/pkg/os/"],
      "/pkg/fmt/": ["/", "/pkg/"],
      "/pkg/os/": ["/", "/pkg/"],
    };
    const mu = new Mutex();
    const seen = new Set<string>();
    function* visit(u: string): Body<boolean> {
      yield* mu.lock();
      const fresh = !seen.has(u);
      seen.add(u);
      mu.unlock();
      return fresh;
    }
    const out = makeChan<string>(100);
    const wg = new WaitGroup();
    function* crawl(u: string, depth: number): Body {
      if (depth === 0 || !(yield* visit(u))) return;
      const links = pages[u];
      if (links === undefined) {
        yield* out.send(`not found: ${u}`);
        return;
      }
      yield* out.send(`found: ${u} ${links.length}`);
      for (const l of links) wg.go(crawl, l, depth - 1);
    }
    wg.go(crawl, "/", 4);
    yield* wg.wait();
    out.close();
    const lines: string[] = [];
    yield* out.forEach((l) => {
      lines.push(l);
    });
    for (const l of lines.sort()) println(l);
  },

  *daisychain(println) {
    const leftmost = makeChan<number>();
    let right = leftmost;
    let left = leftmost;
    for (let i = 0; i < 10000; i++) {
      right = makeChan<number>();
      go(
        function* (l: Chan<number>, r: Chan<number>) {
          yield* l.send(1 + (yield* r.recv())!);
        },
        left,
        right,
      );
      left = right;
    }
    go(function* (c: Chan<number>) {
      yield* c.send(1);
    }, right);
    println(yield* leftmost.recv());
  },

  *mergesort(println) {
    function sorted(a: number[]): RecvChan<number> {
      const out = makeChan<number>();
      go(function* () {
        defer(() => out.close());
        if (a.length === 1) {
          yield* out.send(a[0]);
          return;
        }
        const x = sorted(a.slice(0, a.length / 2));
        const y = sorted(a.slice(a.length / 2));
        let v = yield* x.recv2();
        let w = yield* y.recv2();
        while (v.ok || w.ok) {
          if (v.ok && (!w.ok || v.value <= w.value)) {
            yield* out.send(v.value);
            v = yield* x.recv2();
          } else {
            yield* out.send(w.value!);
            w = yield* y.recv2();
          }
        }
      });
      return out;
    }
    const a = Array.from({ length: 64 }, (_, i) => (i * 37) % 64);
    let line = "";
    yield* sorted(a).forEach((v) => {
      line += `${v} `;
    });
    println(line);
  },

  *tokenring(println) {
    const n = 503;
    const done = makeChan<number>();
    const first = makeChan<number>();
    let input = first;
    for (let i = 1; i <= n; i++) {
      const out = i === n ? first : makeChan<number>();
      go(
        function* (id: number, input: Chan<number>, out: Chan<number>) {
          for (;;) {
            const v = (yield* input.recv())!;
            if (v === 0) {
              yield* done.send(id);
              return;
            }
            yield* out.send(v - 1);
          }
        },
        i,
        input,
        out,
      );
      input = out;
    }
    yield* first.send(1000);
    println(yield* done.recv());
  },

  *bank(println) {
    const accounts = new Array<number>(10).fill(100);
    const locks = accounts.map(() => new Mutex());
    const wg = new WaitGroup();
    for (let g = 0; g < 8; g++) {
      wg.go(function* () {
        let x = g + 1;
        for (let i = 0; i < 500; i++) {
          x = lcg(x);
          const a = (x >> 8) % 10;
          const b = (x >> 16) % 10;
          if (a === b) continue;
          const lo = locks[Math.min(a, b)];
          const hi = locks[Math.max(a, b)];
          lo.tryLock() || (yield* lo.lock());
          hi.tryLock() || (yield* hi.lock());
          const v = Math.trunc(accounts[a] / 10);
          accounts[a] -= v;
          yield* gosched();
          accounts[b] += v;
          hi.unlock();
          lo.unlock();
        }
      });
    }
    yield* wg.wait();
    println(accounts.reduce((a, b) => a + b));
  },

  *futures(println) {
    const future = (f: () => Body<number>): (() => Body<number>) => {
      const c = makeChan<number>(1);
      go(function* () {
        yield* c.send(yield* f());
      });
      return function* () {
        const v = (yield* c.recv())!;
        yield* c.send(v);
        return v;
      };
    };
    const a = future(function* () {
      return 6;
    });
    const b = future(function* () {
      return 7;
    });
    const c = future(function* () {
      return (yield* a()) * (yield* b());
    });
    const d = future(function* () {
      return (yield* c()) + (yield* a());
    });
    println(yield* d(), yield* c(), yield* b(), yield* a());
  },

  *schedorder(println) {
    const done = makeChan<boolean>();
    for (let g = 0; g < 4; g++) {
      go(function* () {
        for (let i = 0; i < 3; i++) {
          println("g", g, "step", i);
          yield* gosched();
        }
        yield* done.send(true);
      });
    }
    for (let i = 0; i < 4; i++) yield* done.recv();
    const c = makeChan<number>(2);
    go(function* () {
      for (let i = 0; i < 6; i++) {
        yield* c.send(i);
        println("sent", i);
      }
      c.close();
    });
    yield* c.forEach((v) => {
      println("got", v);
    });
  },

  *unboundedqueue(println) {
    function* queue(input: RecvChan<number> | null, out: Chan<number>): Body {
      const q: number[] = [];
      while (input !== null || q.length > 0) {
        const r = yield* select([recvCase(input), sendCase(q.length > 0 ? out : null, q[0])]);
        if (r.index === 1) q.shift();
        else if (r.ok) q.push(r.value);
        else input = null;
      }
      out.close();
    }
    const input = makeChan<number>();
    const out = makeChan<number>();
    go(queue, input as RecvChan<number> | null, out);
    for (let i = 0; i < 1000; i++) yield* input.send(i);
    input.close();
    let n = 0;
    let ordered = true;
    yield* out.forEach((v) => {
      ordered = ordered && v === n;
      n++;
    });
    println(n, ordered);
  },

  *syncmap(println) {
    const m = new SyncMap<string, number>();
    const both = (r: { value: number | undefined; ok: boolean }) => println(r.value, r.ok);
    m.store("a", 1);
    both(m.load("a"));
    both(m.load("b"));
    both(m.loadOrStore("a", 2));
    both(m.loadOrStore("b", 3));
    both(m.swap("a", 4));
    println(
      m.compareAndSwap("a", 4, 5),
      m.compareAndSwap("a", 4, 6),
      m.compareAndDelete("b", 9),
      m.compareAndDelete("b", 3),
    );
    both(m.loadAndDelete("a"));
    both(m.loadAndDelete("a"));
    m.store("x", 1);
    m.clear();
    let n = 0;
    m.range(() => {
      n++;
    });
    println(n);
  },
};
