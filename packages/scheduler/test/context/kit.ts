/** Helpers of the contexts' tests: contexts of the program. */
import { type AfterFuncer, background, type Context } from "../../src/context.ts";
import type { RecvChan } from "../../src/index.ts";
import type { TestScheduler } from "../../src/testing.ts";

/** A context of the program, which `end` cancels. */
export class Own implements Context {
  error: Error | null = null;
  readonly c;
  private readonly up: Context;
  constructor(s: TestScheduler, up: Context = background()) {
    this.c = s.makeChan<never>();
    this.up = up;
  }
  deadline(): number | null {
    return this.up.deadline();
  }
  done(): RecvChan<never> | null {
    return this.c;
  }
  err(): Error | null {
    return this.error;
  }
  value(key: unknown): unknown {
    return this.up.value(key);
  }
  end(e: Error): void {
    this.error = e;
    this.c.close();
  }
}

/** A context of the program with a method afterFunc. `log` has the calls of that method and of its results. */
export class Calling extends Own implements AfterFuncer {
  readonly log: string[] = [];
  private readonly fs = new Set<() => void>();
  afterFunc(f: () => void): () => boolean {
    this.log.push("afterFunc");
    this.fs.add(f);
    return () => {
      this.log.push("stop");
      return this.fs.delete(f);
    };
  }
  override end(e: Error): void {
    super.end(e);
    for (const f of this.fs) f();
  }
}

/** The error with which tests end such a context. */
export const mine = new Error("mine");
