/**
 * A tree of places in the code, from the innermost frame outwards. It finds the one GStack object of all goroutines
 * whose stacks are equal, so that their frames are named once and their text is made once.
 */

import {
  type CallSite,
  type Frame,
  framesOf,
  framesOfSites,
  hidden,
  isMarker,
  isOwnSite,
  markOutermost,
  PROBE_MARKER,
  type StackHolder,
  type Symbolize,
} from "./frames.ts";

/** Nodes that the tree holds at most; then a new tree begins. A node takes about 200 bytes. */
const NODES_MAX = 1 << 14;

/** The stack of one goroutine, or of all goroutines that wait at the same place. */
export class GStack {
  /** Innermost first. Empty if the engine does not give them. */
  readonly frames: readonly Frame[];
  /** Its lines in a dump, once a dump has asked for them. */
  text: string | null = null;
  /** The value that `gDerived` keeps. */
  derived: unknown = undefined;

  constructor(frames: readonly Frame[]) {
    this.frames = frames;
  }
}

/** A place in the code. Its parent is the place that it has called. */
class StackNode {
  readonly parent: StackNode | null;
  readonly file: string;
  readonly position: number;
  /** Null for a frame that is not shown. */
  readonly frame: Frame | null;
  /** It is the scheduler's frame below which no frame is the goroutine's. */
  readonly marker: boolean;
  /** The child that was found last. Most nodes have no other. */
  recent: StackNode | null = null;
  /** The children by position. Children with equal positions in different files are linked by `sibling`. */
  children: Map<number, StackNode> | null = null;
  sibling: StackNode | null = null;
  /** The stack that ends here. */
  stack: GStack | null = null;

  constructor(
    parent: StackNode | null,
    file: string,
    position: number,
    frame: Frame | null,
    marker: boolean,
  ) {
    this.parent = parent;
    this.file = file;
    this.position = position;
    this.frame = frame;
    this.marker = marker;
  }

  child(file: string, position: number): StackNode | null {
    const { recent } = this;
    if (recent !== null && recent.position === position && recent.file === file) return recent;
    let node = this.children?.get(position) ?? null;
    while (node !== null && node.file !== file) node = node.sibling;
    if (node !== null) this.recent = node;
    return node;
  }

  add(node: StackNode): void {
    this.children ??= new Map();
    node.sibling = this.children.get(node.position) ?? null;
    this.children.set(node.position, node);
    this.recent = node;
  }
}

/** The stacks of a scheduler's goroutines that were captured so far. */
export class GStacks {
  private readonly symbolize: Symbolize | undefined;
  private root = new StackNode(null, "", 0, null, false);
  private nodes = 0;
  /** The stacks by text: for engines that give text only, and for schedulers without `symbolize`. */
  private readonly byText = new Map<string, GStack>();

  constructor(symbolize: Symbolize | undefined) {
    this.symbolize = symbolize;
  }

  /**
   * Finds the stack of the call sites from `from` to the first marker, and sets `end` to the marker's index. The sites
   * may go on below it. Without a marker the sites up to the last are the stack if `complete`; otherwise returns null.
   */
  ofSites(sites: readonly CallSite[], from: number, symbolize: Symbolize, complete: boolean): GStack | null {
    let node = this.root;
    for (let i = from; i < sites.length; i++) {
      const site = sites[i];
      const file = site.getFileName();
      // V8's builtins have no file. Evaluated code has none either, and its position alone does not identify it.
      if (typeof file !== "string") {
        if (file === null || site.isNative()) continue;
        return this.unshared(sites, from, symbolize, complete);
      }
      const position = site.getPosition();
      node = node.child(file, position) ?? this.addNode(node, site, file, position, symbolize);
      if (node.marker) {
        this.end = i;
        return (node.stack ??= stackAt(node));
      }
    }
    return complete ? (node.stack ??= stackAt(node)) : null;
  }
  /** Index of the marker that ended the stack of the last `ofSites`. */
  end = 0;

  private unshared(
    sites: readonly CallSite[],
    from: number,
    symbolize: Symbolize,
    complete: boolean,
  ): GStack | null {
    this.end = sites.findIndex((site, i) => i >= from && isMarker(site.getFunctionName()));
    if (this.end < 0 && !complete) return null;
    return new GStack(framesOfSites(from === 0 ? sites : sites.slice(from), symbolize));
  }

  private addNode(
    parent: StackNode,
    site: CallSite,
    file: string,
    position: number,
    symbolize: Symbolize,
  ): StackNode {
    const marker = isMarker(site.getFunctionName());
    let frame: Frame | null = null;
    if (!marker && !isOwnSite(site)) {
      const f = symbolize(site);
      if (f.own !== true && !hidden(f.file)) frame = { func: f.func, file: f.file, line: f.line };
    }
    const node = new StackNode(parent, file, position, frame, marker);
    parent.add(node);
    if (++this.nodes >= NODES_MAX) {
      this.nodes = 0;
      this.root = new StackNode(null, "", 0, null, false);
    }
    return node;
  }

  /** The stack of a captured text, or of call sites without `symbolize`. */
  ofHolder(holder: StackHolder): GStack {
    const { stack } = holder;
    if (typeof stack !== "string") return new GStack(framesOf(holder, this.symbolize));
    const end = stack.indexOf(PROBE_MARKER);
    const key = end < 0 ? stack : stack.slice(0, end);
    let known = this.byText.get(key);
    if (known === undefined) {
      if (this.byText.size >= NODES_MAX / 16) this.byText.clear();
      known = new GStack(framesOf(holder, this.symbolize));
      this.byText.set(key, known);
    }
    return known;
  }
}

function stackAt(end: StackNode): GStack {
  const frames: Frame[] = [];
  for (let node: StackNode | null = end; node !== null; node = node.parent) {
    // Copy the frame: it may be the outermost frame of this stack only.
    if (node.frame !== null) frames.push({ ...node.frame });
  }
  frames.reverse();
  if (end.marker) markOutermost(frames);
  return new GStack(frames);
}
