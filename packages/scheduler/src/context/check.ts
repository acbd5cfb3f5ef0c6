/** The check of the parent that every function of this package makes before it makes a context. */

import { kindOf } from "@gort/base";
import { CancelContext, type Context, ValueContext } from "./tree.ts";

/**
 * Throws unless `parent` is a context, of this package or of the program. `what` names the function for the message.
 */
export function checkParent(what: string, parent: Context): void {
  if (parent instanceof CancelContext || parent instanceof ValueContext) return;
  if (parent === null || parent === undefined) throw new Error("cannot create context from nil parent");
  const { deadline, done, err, value } = parent;
  for (const method of [deadline, done, err, value]) {
    if (typeof method === "function") continue;
    throw new TypeError(`scheduler: ${what}: the parent must be a context (got ${kindOf(parent)})`);
  }
}
