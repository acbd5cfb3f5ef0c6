/**
 * FinalizationRegistries whose reports go on.
 *
 * V8 before Node 26 has one task for all registries that are due, and asks for no other before it has run. If the last
 * of them is collected first, the task finds nothing, and no registry of the thread is ever called again. So the
 * registries made here live as long as this module, and hold their owners weakly.
 */

const owners = new Map<object, WeakRef<object>>();

/**
 * A registry that calls `report` for each of its objects that V8 has collected, with what was registered for the
 * object, while its owner is alive. `report` must not hold the owner.
 */
export function registryOf<Owner extends object, Held>(
  owner: Owner,
  report: (owner: Owner, held: Held) => void,
): FinalizationRegistry<Held> {
  const registry = new FinalizationRegistry<Held>((held) => {
    const alive = owners.get(registry)?.deref() as Owner | undefined;
    if (alive !== undefined) report(alive, held);
  });
  owners.set(registry, new WeakRef(owner));
  return registry;
}
