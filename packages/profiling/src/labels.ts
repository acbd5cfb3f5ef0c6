/**
 * Labels: names and values that belong to a piece of work, to distinguish its samples from others.
 *
 * A set of labels belongs to a goroutine, and a goroutine that it starts inherits the set. A `LabelStore` keeps the
 * present set. The runtime provides one that reads the running goroutine. If the package is used alone, it keeps the
 * set in Node's AsyncLocalStorage, so that the set follows callbacks and awaits.
 */
import { isGenerator } from "@gort/base";
import { builtin } from "./host.ts";

/** A set of labels. It never changes. */
export type LabelSet = ReadonlyMap<string, string>;

/** Keeps the present set. */
export interface LabelStore {
  get(): LabelSet | null;
  set(labels: LabelSet | null): void;
  /**
   * True if the present set is not the running goroutine's own. Then a generator that suspends must restore the
   * previous set for the code that runs next.
   */
  readonly shared?: boolean;
}

/** Labels from an object, or from alternating names and values as in Go. */
export function makeLabels(...from: [Readonly<Record<string, string>>] | string[]): LabelSet {
  const labels = new Map<string, string>();
  if (from.length === 1 && typeof from[0] === "object") {
    for (const [key, value] of Object.entries(from[0])) labels.set(key, value);
    return labels;
  }
  if (from.length % 2 !== 0) {
    throw new RangeError("uneven number of arguments to pprof.Labels");
  }
  for (let i = 0; i < from.length; i += 2) labels.set(String(from[i]), String(from[i + 1]));
  return labels;
}

/** The union of two sets; on equal names the second wins. */
export function withLabels(base: LabelSet | null, more: LabelSet): LabelSet {
  return base === null || base.size === 0 ? more : new Map([...base, ...more]);
}

/** The set as the text profiles print it: `{"a":"b", "job":"x"}`, sorted. */
export function labelText(labels: LabelSet): string {
  const pairs = [...labels].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(", ")}}`;
}

/** Keeps the set with the asynchronous context; on a platform without one, globally. */
export class AsyncLabelStore implements LabelStore {
  readonly shared = true;
  private readonly storage: {
    getStore(): LabelSet | null | undefined;
    enterWith(labels: LabelSet | null): void;
  };

  constructor() {
    const node = builtin("node:async_hooks");
    let global: LabelSet | null = null;
    this.storage = node
      ? new node.AsyncLocalStorage<LabelSet | null>()
      : {
          getStore: () => global,
          enterWith: (labels) => {
            global = labels;
          },
        };
  }

  get(): LabelSet | null {
    return this.storage.getStore() ?? null;
  }

  set(labels: LabelSet | null): void {
    this.storage.enterWith(labels);
  }
}

/**
 * Runs `f` with labels added to the present ones. When `f` returns, the previous labels hold again. With
 * AsyncLocalStorage, the awaits of an async `f` keep the labels. If `f` returns a generator, the generator has the
 * labels from its first step to its last.
 */
export function doWithLabels<T>(store: LabelStore, labels: LabelSet, f: (labels: LabelSet) => T): T {
  const before = store.get();
  const during = withLabels(before, labels);
  store.set(during);
  try {
    const result = f(during);
    return isGenerator(result) ? (labelled(store, during, result) as T) : result;
  } finally {
    store.set(before);
  }
}

function labelled(store: LabelStore, during: LabelSet, inner: Generator): Generator {
  return store.shared === true ? labelledSteps(store, during, inner) : labelledWhole(store, during, inner);
}

/** The labels belong to the goroutine that runs the generator, so they also hold while it is suspended. */
function* labelledWhole(store: LabelStore, during: LabelSet, inner: Generator): Generator {
  const before = store.get();
  store.set(during);
  try {
    return yield* inner;
  } finally {
    store.set(before);
  }
}

/** The same generator, with the labels in place only while it runs. */
function labelledSteps(store: LabelStore, during: LabelSet, inner: Generator): Generator {
  let own: LabelSet | null = during;
  const step = (run: () => IteratorResult<unknown>): IteratorResult<unknown> => {
    const before = store.get();
    store.set(own);
    try {
      return run();
    } finally {
      own = store.get();
      store.set(before);
    }
  };
  return Object.assign(Object.create(Object.getPrototypeOf(inner) as object) as Generator, {
    next: (value: unknown) => step(() => inner.next(value)),
    return: (value: unknown) => step(() => inner.return(value)),
    throw: (error: unknown) => step(() => inner.throw(error)),
  });
}
