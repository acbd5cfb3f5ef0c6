/**
 * Calls `stop` at the first Ctrl-C, so that a program can end with its summary. The second one kills the process.
 * SIGTERM counts as Ctrl-C.
 */
export function interrupted(stop: () => void): { readonly fired: boolean; dispose(): void } {
  const state = {
    fired: false,
    dispose() {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
  const onSignal = () => {
    state.dispose();
    state.fired = true;
    stop();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return state;
}
