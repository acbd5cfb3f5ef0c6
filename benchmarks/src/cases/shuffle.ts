/** Puts the items into a random order, which is the same in every run and on Go's side. */
export function shuffle<T>(items: { readonly length: number; [i: number]: T }): void {
  let x = 12345;
  for (let i = items.length - 1; i > 0; i--) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    const j = x % (i + 1);
    const t = items[i];
    items[i] = items[j]!;
    items[j] = t;
  }
}
