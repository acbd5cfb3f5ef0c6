/**
 * FinalizationRegistries whose reports do not stop.
 *
 * V8 before Node 26 has one task for all registries that are due, and queues no second task before it has run. If V8
 * collects the last of these registries first, the task finds nothing, and V8 never calls any registry of the thread
 * again. So the registries made here live as long as this module, and hold their owners weakly.
 */

const owners = new Map<object, WeakRef<object>>();

/**
 * A registry that calls `report` for each of its objects that V8 has collected, as long as its owner is alive. `held`
 * is the value that was registered for the object. `report` must not hold the owner.
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
