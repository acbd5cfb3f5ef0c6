/** Chromium without a window, and a server of files for its pages. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";

const command = process.env.CHROMIUM ?? "chromium";
export const hasBrowser = spawnSync(command, ["--version"]).status === 0;

/** Lets pages share memory between threads. */
const isolation = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

const types: Record<string, string> = { ".js": "text/javascript", ".html": "text/html" };

/**
 * The server delivers each file of the folder at two places: `/isolated/FILE` and `/plain/FILE`, with and without the
 * headers that isolate the page. A page posts its lines to `print`, and the last line is `end`.
 */
export class Browser {
  readonly #folder: string;
  readonly #profile = mkdtempSync(join(tmpdir(), "gort-chromium-"));
  readonly #server: Server;
  #process: ChildProcess | null = null;
  #lines: string[] = [];
  #ended = (): void => {};

  constructor(folder: string) {
    this.#folder = folder;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  async start(): Promise<void> {
    await once(this.#server.listen(0, "127.0.0.1"), "listening");
    const flags = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--remote-debugging-port=0",
    ];
    const args = [...flags, `--user-data-dir=${this.#profile}`, "about:blank"];
    this.#process = spawn(command, args, { stdio: "ignore", detached: true });
    while (!existsSync(this.#portFile)) await delay(50);
  }

  get #portFile(): string {
    return join(this.#profile, "DevToolsActivePort");
  }

  /** Opens the page, and returns the lines that it prints until `end`, or in the time. */
  async open(page: string, timeoutMs = 20_000): Promise<string[]> {
    this.#lines = [];
    const { port } = this.#server.address() as AddressInfo;
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    const devtools = `http://127.0.0.1:${readFileSync(this.#portFile, "utf8").split("\n")[0]}/json`;
    const url = encodeURIComponent(`http://127.0.0.1:${port}/${page}`);
    const opened = await fetch(`${devtools}/new?${url}`, { method: "PUT" });
    const { id } = (await opened.json()) as { id: string };
    await Promise.race([ended, delay(timeoutMs, undefined, { ref: false })]);
    await fetch(`${devtools}/close/${id}`);
    return this.#lines;
  }

  async close(): Promise<void> {
    if (this.#process !== null) {
      process.kill(-this.#process.pid!, "SIGKILL");
      await once(this.#process, "close");
    }
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === "POST") {
      const line = await text(request);
      this.#lines.push(line);
      response.end();
      if (line === "end") this.#ended();
      return;
    }
    const [, place, ...path] = new URL(request.url!, "http://host/").pathname.split("/");
    const file = join(this.#folder, ...path);
    const type = types[extname(file)];
    if (type !== undefined && existsSync(file)) {
      const headers = { "content-type": type };
      response.writeHead(200, place === "isolated" ? { ...headers, ...isolation } : headers);
      response.end(readFileSync(file));
    } else {
      response.writeHead(404).end();
    }
  }
}
