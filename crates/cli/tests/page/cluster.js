// Three servers on this machine, people who use them, and the pages that people open.

import { execFile, spawn } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const ROOT = resolve(import.meta.dirname, "../../../..");
const PROGRAM = resolve(ROOT, process.env.SHAMISEN ?? "target/release/shamisen");

// Longest wait for anything.
export const LIMIT = 120_000;

const run = promisify(execFile);

export class Cluster {
  #dir;
  #port;
  #processes = [];

  // Starts three servers with their keys and files in a directory.
  static async start(dir) {
    const cluster = new Cluster();
    cluster.#dir = dir;
    cluster.#port = await freePorts(6);
    await cluster.#spawn(join(ROOT, "examples/three-servers/up.sh"), [dir, String(cluster.#port)], /three servers run/);
    return cluster;
  }

  path = (name) => join(this.#dir, name);

  // Carries out a command with the key of somebody, and returns its output.
  async as(who, ...words) {
    const key = ["--cluster", this.path("cluster.toml"), "--key", this.path(`keys/${who}`)];
    const { stdout } = await run(PROGRAM, [...words, ...key], { timeout: LIMIT });
    return stdout;
  }

  // Carries out a command.
  run = (...words) => run(PROGRAM, words, { timeout: LIMIT });

  // Opens the page of a server for somebody, and returns its address.
  async page(who, server = 0) {
    const words = ["page", "--cluster", this.path("cluster.toml"), "--key", this.path(`keys/${who}`), "--server", String(server)];
    const line = await this.#spawn(PROGRAM, words, /http:/);
    return line.trim();
  }

  // Adds terms for the analyst to those that are there, in a new file.
  async terms(name, lines) {
    const { writeFile } = await import("node:fs/promises");
    const text = await readFile(this.path("terms.toml"), "utf8");
    await writeFile(this.path(name), text + lines.join("\n"));
    return this.path(name);
  }

  async stop() {
    for (const child of this.#processes) child.kill("SIGTERM");
    await Promise.all(this.#processes.map((child) => child.exitCode ?? once(child, "exit")));
  }

  // Starts a program, and waits for a line of its output.
  async #spawn(program, words, line) {
    const child = spawn(program, words, { env: { ...process.env, SHAMISEN: PROGRAM }, stdio: ["ignore", "pipe", "inherit"] });
    this.#processes.push(child);
    const ended = once(child, "exit").then(() => {
      throw new Error(`${program} ended`);
    });
    const found = (async () => {
      for await (const text of createInterface(child.stdout)) if (line.test(text)) return text;
      throw new Error(`${program} did not say ${line}`);
    })();
    // It ends after it was found as well.
    ended.catch(() => {});
    const text = await Promise.race([found, ended]);
    child.stdout.resume();
    return text;
  }
}

// The first of so many ports in a row that are free.
async function freePorts(many) {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const servers = await Promise.all(Array.from({ length: many }, (_, at) => listen(first + at)));
    const free = servers.every(Boolean);
    await Promise.all(servers.filter(Boolean).map((server) => new Promise((done) => server.close(done))));
    if (free) return first;
  }
}

const listen = (port) =>
  new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(null));
    server.listen(port, "127.0.0.1", () => done(server));
  });
