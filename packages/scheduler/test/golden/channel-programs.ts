/** Programs of goroutines, channels and select. */

import {
  type Chan,
  defer,
  go,
  gosched,
  makeChan,
  type RecvChan,
  recvCase,
  type SendChan,
  select,
  sendCase,
} from "../../src/index.ts";
import { Mutex, WaitGroup } from "../../src/sync/index.ts";
import { type Body, lcg, type Program } from "./program.ts";

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

export const channelPrograms: Record<string, Program> = {
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
};
