/**
 * A thread that is killed at a chosen store. Its view of the memory counts every store and atomic operation, and throws
 * at the k-th. All later stores are lost too, as for a thread that is gone.
 */
import { attachLinearMemory, type Kernel, type LinearMemory } from "@gort/memory";
import { type Allocator, createAllocator } from "../src/internal.ts";

export class Killed extends Error {}

const plain = (kernel: Kernel): Kernel => ({ ...kernel });

export class Victim {
  readonly allocator: Allocator;
  readonly thread: number;
  /** Stores until the end; Infinity: none. */
  left = Number.POSITIVE_INFINITY;
  /** Stores so far. */
  stores = 0;
  /** Called before each store that is done. */
  onStore: () => void = () => {};

  constructor(a: Allocator) {
    const mem = attachLinearMemory(a.mem.memory as never);
    const set = <T extends keyof LinearMemory>(key: T, value: LinearMemory[T]): void => {
      Object.defineProperty(mem, key, { value });
    };
    const count = (): void => {
      if (--this.left < 0) throw new Killed("killed");
      this.onStore();
      this.stores++;
    };
    const watched = <A extends Uint32Array | Float64Array | Int32Array>(array: A): A =>
      new Proxy(array, {
        get(target, key) {
          const v = Reflect.get(target, key);
          return typeof v === "function" ? v.bind(target) : v;
        },
        set(target, key, value) {
          count();
          return Reflect.set(target, key, value);
        },
      });
    set("u32", watched(a.mem.u32));
    set("f64", watched(a.mem.f64));
    const kernel = plain(a.mem.kernel);
    for (const name of ["fill", "zero", "copy", "store", "add", "and", "or", "xchg", "cas"] as const) {
      const f = kernel[name] as (...args: number[]) => number;
      Object.defineProperty(kernel, name, {
        value: (...args: number[]) => {
          count();
          return f(...args);
        },
      });
    }
    set("kernel", kernel);
    // A number of its own: to the locks it is another thread.
    const member = Object.create(Object.getPrototypeOf(mem.member));
    Object.assign(member, mem.member, { kernel, u32: mem.u32, users: 0, thread: 0, lockWord: 0, last: 0 });
    set("member", member);
    set("lockOps", { acquire: kernel.cas, release: kernel.cas, acquired() {}, blocking() {} });
    this.allocator = createAllocator({ memory: mem, seed: 1 });
    this.thread = member.thread;
  }
}
