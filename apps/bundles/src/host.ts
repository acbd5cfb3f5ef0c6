/** What a page or a process gives to the program: the scenario, and where its lines go. */
import type { Host } from "./program.ts";

const { process } = globalThis as { process?: { argv: string[] } };

/** In a page the scenario is the query, and the lines go to the server. */
export function host(workers?: () => object): Host {
  if (process !== undefined)
    return { workers, scenario: process.argv[2], print: (line) => console.log(line) };
  let sent = Promise.resolve<unknown>(null);
  const send = (line: string): void => {
    sent = sent.then(() => fetch("/print", { method: "POST", body: line }));
  };
  addEventListener("error", ({ message }) => send(`error ${message}`));
  addEventListener("unhandledrejection", ({ reason }) => send(`rejection ${String(reason)}`));
  return { workers, scenario: location.search.slice(1), print: send };
}
