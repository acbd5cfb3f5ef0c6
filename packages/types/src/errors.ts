import { RuntimeError } from "@gort/base";

/** Go's panic for a load or a store through nil. */
export function nilDereference(): never {
  throw new RuntimeError(
    "runtime error: invalid memory address or nil pointer dereference",
    "ERR_GORT_NIL_DEREFERENCE",
  );
}
