/**
 * V8's own profilers, through Node's inspector. The inspector answers a session of the same thread at once, so a
 * request is an ordinary call.
 *
 * V8 reports where a function begins (the parenthesis of its parameters), and a line only for the innermost frame. So
 * the outer frames of these profiles stand on the first lines of their functions.
 */
import type { CallSite } from "./capture.ts";
import { builtin } from "./host.ts";
import type { PCTable } from "./pc-table.ts";

/** A function as V8's profilers report it. Lines and columns count from 0; -1 for none. */
export interface V8CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
  columnNumber: number;
}

export interface V8ProfileNode {
  id: number;
  callFrame: V8CallFrame;
  children?: number[];
  hitCount?: number;
  positionTicks?: { line: number; ticks: number }[];
}

/** The answer of Profiler.stop; Node writes it as .cpuprofile. Times are microseconds of the monotonic clock. */
export interface V8CPUProfile {
  nodes: V8ProfileNode[];
  startTime: number;
  endTime: number;
  samples?: number[];
  timeDeltas?: number[];
}

export interface V8HeapNode {
  callFrame: V8CallFrame;
  selfSize: number;
  children: V8HeapNode[];
}

/** A session with this thread's inspector. */
export class InspectorSession {
  private readonly session: import("node:inspector").Session;

  constructor() {
    const inspector = builtin("node:inspector");
    if (inspector === undefined) throw new Error("profiling: this platform has no inspector to profile with");
    this.session = new inspector.Session();
    this.session.connect();
  }

  /** Sends a request and returns its answer. */
  post<T>(method: string, params: object = {}): T {
    let answer: { error: Error | null; result: unknown } | undefined;
    (this.session as unknown as RawSession).post(method, params, (error, result) => {
      answer = { error, result };
    });
    if (answer === undefined) throw new Error(`profiling: the inspector didn't answer ${method}`);
    if (answer.error)
      throw new Error(`profiling: ${method}: ${answer.error.message}`, { cause: answer.error });
    return answer.result as T;
  }

  close(): void {
    this.session.disconnect();
  }
}

interface RawSession {
  post(method: string, params: object, callback: (error: Error | null, result: unknown) => void): void;
}

/** The frame number of a function in V8's profiles, at a line (from 1) or, with 0, at its beginning. */
export function frameOf(table: PCTable, frame: V8CallFrame, line: number): number {
  const { functionName, url } = frame;
  if (url === "") {
    if (functionName === "(garbage collector)") return table.synthetic("v8.gc", "<builtin>", 0);
    if (functionName === "(program)") return table.synthetic("v8.program", "<builtin>", 0);
    return table.synthetic(`js.${functionName || "func"}`, "<builtin>", 0);
  }
  return table.intern(new ProfileSite(frame, line));
}

/** Whether a node stands for no code: it is the root, or time in which nothing ran. */
export function isNoCode(frame: V8CallFrame): boolean {
  return frame.url === "" && (frame.functionName === "(root)" || frame.functionName === "(idle)");
}

/** A call site made from a frame of V8's profilers. */
class ProfileSite implements CallSite {
  constructor(
    private readonly frame: V8CallFrame,
    private readonly line: number,
  ) {}
  getFunctionName(): string | null {
    return this.frame.functionName || null;
  }
  /** The receiver of a static method: then the name is looked up in the source, where the class is known. */
  getTypeName(): string | null {
    return "Function";
  }
  getFileName(): string {
    return this.frame.url;
  }
  getLineNumber(): number {
    return this.line || this.getEnclosingLineNumber();
  }
  /** 0: only the line is known. */
  getColumnNumber(): number {
    return this.line === 0 || this.line === this.frame.lineNumber + 1 ? this.getEnclosingColumnNumber() : 0;
  }
  isConstructor(): boolean {
    return false;
  }
  getEnclosingLineNumber(): number {
    return Math.max(0, this.frame.lineNumber) + 1;
  }
  getEnclosingColumnNumber(): number {
    return Math.max(0, this.frame.columnNumber) + 1;
  }
}
