/**
 * The structs that this thread has declared, by name: type-identity.ts looks there for the type of a value that came
 * from another thread. Weak references hold them, because a program may make types at run time and drop them.
 */
import type { StructType } from "./type.ts";

const byName = new Map<string, WeakRef<StructType>[]>();
let entries = 0;
/** The number of entries at which the next one clears away those of collected types. */
let nextSweep = 64;

/** Notes a new struct. Its constructor calls this. */
export function noteDeclared(type: StructType): void {
  if (entries >= nextSweep) sweep();
  const list = byName.get(type.name);
  if (list === undefined) byName.set(type.name, [new WeakRef(type)]);
  else list.push(new WeakRef(type));
  entries++;
}

function sweep(): void {
  entries = 0;
  for (const [name, list] of byName) {
    const alive = list.filter((ref) => ref.deref() !== undefined);
    entries += alive.length;
    if (alive.length === 0) byName.delete(name);
    else byName.set(name, alive);
  }
  // Each entry pays for one look at it.
  nextSweep = 2 * entries + 64;
}

/** The structs of a name that still exist, in the order of their declaration. */
export function declaredAs(name: string): StructType[] {
  const found: StructType[] = [];
  for (const ref of byName.get(name) ?? []) {
    const type = ref.deref();
    if (type !== undefined) found.push(type);
  }
  return found;
}

/** Entries, those of collected types included. For tests. */
export function declaredEntries(): number {
  return entries;
}
