/**
 * The end of a runtime: after `close`, every use of it throws an error that names the use. `close` replaces the methods
 * of the objects that a program holds. So no call before it pays for a check, and a new method needs no check.
 */

export function useAfterClose(what: string): TypeError {
  return new TypeError(`runtime: use of a runtime after its close (${what})`);
}

/**
 * Replaces methods and accessors of the object by ones that throw.
 *
 * @param prefix stands before the method's name in the error
 * @param keep members that stay as they are, such as values that belong to no runtime
 * @param rejects methods that return a promise: the promise rejects
 */
export function retire(
  target: object,
  prefix: string,
  keep: readonly string[] = [],
  rejects: readonly string[] = [],
): void {
  const seen = new Set<string>(["constructor", ...keep]);
  for (let o: object = target; o !== Object.prototype; o = Object.getPrototypeOf(o) as object) {
    for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(o))) {
      if (seen.has(name)) continue;
      seen.add(name);
      const refuse = (): never => {
        throw useAfterClose(prefix + name);
      };
      const refuseLater = (): Promise<never> => Promise.reject(useAfterClose(prefix + name));
      if (typeof property.value === "function") {
        const value = rejects.includes(name) ? refuseLater : refuse;
        Object.defineProperty(target, name, { value, configurable: true });
      } else if (property.get !== undefined || property.set !== undefined) {
        Object.defineProperty(target, name, { get: refuse, set: refuse, configurable: true });
      }
    }
  }
}
