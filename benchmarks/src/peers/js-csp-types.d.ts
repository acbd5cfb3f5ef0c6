declare module "js-csp" {
  export interface Channel {
    readonly closed: boolean;
  }
  export type Instruction = { readonly csp: unique symbol };
  export type Process<R = void> = Generator<Instruction | Channel, R, never>;
  const csp: {
    chan(bufferOrNumber?: number): Channel;
    go(f: (...args: never[]) => Process<unknown>, args?: readonly unknown[]): Channel;
    put(channel: Channel, value: unknown): Instruction;
    take(channel: Channel): Instruction;
    alts(operations: readonly Channel[]): Instruction;
    takeAsync(channel: Channel, callback: (value: unknown) => void): void;
  };
  export default csp;
}
