import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  atomicStore,
  block,
  constant,
  doWhile,
  drop,
  Expr,
  loop,
  loopWhile,
  ret,
  select,
  store,
  WasmModule,
  when,
  zero8,
} from "../src/wasm-assembler.ts";
import { wasmHost } from "../src/wasm-host.ts";

const host = wasmHost()!;

/** Runs what `build` declares over a memory of one page; gives its exports and the memory's words. */
function instance(build: (m: WasmModule) => void, imports: Record<string, unknown> = {}, shared = false) {
  const m = new WasmModule(1, shared);
  build(m);
  const memory = new host.Memory({ initial: 1, maximum: 1, shared });
  const { exports } = new host.Instance(new host.Module(m.bytes()), { gort: { memory, ...imports } });
  return {
    f: exports as Record<string, (...args: number[]) => number>,
    u32: new Uint32Array(memory.buffer),
  };
}

describe("the assembler", () => {
  it("makes expressions that compute their operation, over all of i32", () => {
    const twins: Record<string, [(a: Expr, b: Expr) => Expr, (a: number, b: number) => number]> = {
      add: [(a, b) => a.add(b), (a, b) => a + b],
      sub: [(a, b) => a.sub(b), (a, b) => a - b],
      mul: [(a, b) => a.mul(b), (a, b) => Math.imul(a, b)],
      and: [(a, b) => a.and(b), (a, b) => a & b],
      or: [(a, b) => a.or(b), (a, b) => a | b],
      xor: [(a, b) => a.xor(b), (a, b) => a ^ b],
      shl: [(a, b) => a.shl(b), (a, b) => a << b],
      shr: [(a, b) => a.shr(b), (a, b) => a >>> b],
      eq: [(a, b) => a.eq(b), (a, b) => Number(a === b)],
      ne: [(a, b) => a.ne(b), (a, b) => Number(a !== b)],
      lt: [(a, b) => a.lt(b), (a, b) => Number(a >>> 0 < b >>> 0)],
      gt: [(a, b) => a.gt(b), (a, b) => Number(a >>> 0 > b >>> 0)],
      le: [(a, b) => a.le(b), (a, b) => Number(a >>> 0 <= b >>> 0)],
      ge: [(a, b) => a.ge(b), (a, b) => Number(a >>> 0 >= b >>> 0)],
      div: [(a, b) => a.div(b.or(1)), (a, b) => Math.floor((a >>> 0) / ((b | 1) >>> 0))],
      rem: [(a, b) => a.rem(b.or(1)), (a, b) => (a >>> 0) % ((b | 1) >>> 0)],
      eqz: [(a) => a.eqz(), (a) => Number(a === 0)],
      clz: [(a) => a.clz(), (a) => Math.clz32(a)],
      ctz: [(a) => a.ctz(), (a) => (a === 0 ? 32 : 31 - Math.clz32(a & -a))],
      popcnt: [(a) => a.popcnt(), (a) => (a >>> 0).toString(2).replaceAll("0", "").length],
      not: [(a) => a.not(), (a) => ~a],
      select: [(a, b) => select(a.lt(b), a, b), (a, b) => (a >>> 0 < b >>> 0 ? a : b)],
    };
    const { f } = instance((m) => {
      for (const [name, [twin]] of Object.entries(twins)) {
        m.func(name, ["a", "b"], 1, ([a, b]) => [ret(twin(a, b))]);
      }
    });
    const edge = fc.oneof(fc.integer(), fc.constantFrom(0, 1, -1, 63, 64, 2 ** 31 - 1, -(2 ** 31)));
    fc.assert(
      fc.property(edge, edge, (a, b) => {
        for (const [name, [, twin]] of Object.entries(twins))
          expect([name, f[name](a, b)]).toEqual([name, twin(a, b) | 0]);
      }),
    );
  });

  it("encodes every constant", () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }), (n) => {
        expect(instance((m) => m.func("f", [], 1, () => [ret(n)])).f.f()).toBe(n | 0);
      }),
    );
  });

  it("branches out of and back into nested blocks", () => {
    const { f } = instance((m) => {
      // The sum of the numbers below n that no other number from 2 divides: for loops in two ways.
      m.func("primes", ["n"], 1, ([n]) => {
        const [i, d, sum] = m.locals();
        return [
          i.set(2),
          loopWhile(i.lt(n), [
            d.set(2),
            block((composite) => [
              block((prime) => [
                loop((next) => [
                  prime.branch(d.mul(d).gt(i)),
                  composite.branch(i.rem(d).eqz()),
                  d.set(d.add(1)),
                  next.branch(),
                ]),
              ]),
              sum.set(sum.add(i)),
            ]),
            i.set(i.add(1)),
          ]),
          ret(sum),
        ];
      });
      m.func("log2", ["n"], 1, ([n]) => {
        const k = m.local();
        return [doWhile([k.set(k.add(1)), n.set(n.shr(1))], n), ret(k)];
      });
    });
    expect(f.primes(30)).toBe(2 + 3 + 5 + 7 + 11 + 13 + 17 + 19 + 23 + 29);
    expect(f.primes(2)).toBe(0);
    expect([f.log2(0), f.log2(1), f.log2(1000)]).toEqual([1, 1, 10]);
  });

  it.each([false, true])("loads, stores and changes words, atomically too (shared: %s)", (shared) => {
    const { f, u32 } = instance(
      (m) => {
        m.func("run", ["a"], 1, ([a]) => [
          store(a, 7, 4),
          atomicStore(a, 5, 8),
          zero8(a, 16),
          drop(a.atomicAdd(3, 4)),
          drop(a.atomicOr(8, 4)),
          drop(a.atomicAnd(~2, 4)),
          when(a.atomicCas(5, 6, 8).ne(5), [ret(-1)]),
          when(a.atomicCas(5, 9, 8).ne(6), [ret(-2)], [store(a, 1, 12)]),
          ret(a.atomicXchg(11, 4).add(a.load(4).mul(100)).add(a.atomicLoad(8).mul(10_000))),
        ]);
      },
      {},
      shared,
    );
    u32[20] = u32[21] = 99;
    expect(f.run(64)).toBe(8 + 1100 + 60_000);
    expect([...u32.subarray(16, 22)]).toEqual([0, 11, 6, 1, 0, 0]);
  });

  it("calls its own functions and the host's", () => {
    const seen: number[] = [];
    const { f } = instance(
      (m) => {
        const ask = m.import("ask", 1, 1);
        const tell = m.import("tell", 2, 0);
        const twice = m.func("twice", ["n"], 1, ([n]) => [ret(n.mul(2))]);
        m.func("run", ["n"], 1, ([n]) => [tell.run(n, 1), ret(twice.call(ask.call(n)))]);
        expect(() => m.import("late", 0, 0)).toThrow("import of late after a function");
      },
      { ask: (n: number) => n + 1, tell: (a: number, b: number) => seen.push(a, b) },
    );
    expect(f.run(20)).toBe(42);
    expect(seen).toEqual([20, 1]);
    expect(constant(3)).toBeInstanceOf(Expr);
  });
});
