/** Doug McIlroy's power series: each series is a channel of its coefficients. */

import { type Chan, go, makeChan, recvCase, select, sendCase } from "../../src/index.ts";
import type { Body, Program } from "./program.ts";

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

export const powerSeries: Record<string, Program> = {
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
};
