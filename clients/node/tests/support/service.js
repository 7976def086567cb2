/** The real service as a process, in a directory of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const STARTED_WITHIN_MS = 120000;

/** Fault points are in the builds for tests alone. */
export function hasFaultPoints() {
  return readFileSync(process.env.HOLDFAST_TEST_SERVER).includes('recovery_after_commit');
}

export class Service {
  #binary = process.env.HOLDFAST_TEST_SERVER;
  #process = null;
  port = 0;

  constructor(...flags) {
    if (!this.#binary) throw new Error('HOLDFAST_TEST_SERVER must be the path of holdfast-server');
    this.flags = flags;
    this.directory = mkdtempSync(join(tmpdir(), 'holdfast-node-'));
    this.data = join(this.directory, 'data');
  }

  static async start(...flags) {
    const service = new Service(...flags);
    await service.start();
    return service;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** On the same port as before, if there was one. `fault` arms a fault point of core/fault.c. */
  async start({ fault } = {}) {
    const environment = Object.fromEntries(
      Object.entries(process.env).filter(
        ([name]) => !/^(PERSISTENCE_|DATABASE_URL$|POSTGRES_URL$|HOLDFAST_FAULT$)/.test(name),
      ),
    );
    const log = openSync(join(this.directory, 'log'), 'a');
    this.#process = spawn(
      this.#binary,
      ['--listen', `127.0.0.1:${this.port}`, '--data-directory', this.data, ...this.flags],
      {
        stdio: ['ignore', 'pipe', log],
        env: { ...environment, PERSISTENCE_LOOPS: '2', ...(fault && { HOLDFAST_FAULT: fault }) },
      },
    );
    closeSync(log);
    this.port = await this.#listening();
  }

  async #listening() {
    let text = '';
    const started = this.#process;
    const late = setTimeout(() => started.kill('SIGKILL'), STARTED_WITHIN_MS);
    try {
      for await (const part of started.stdout) {
        text += part;
        const found = /listens on http:\/\/127\.0\.0\.1:(\d+)\n/.exec(text);
        if (found) {
          return Number(found[1]);
        }
      }
    } finally {
      clearTimeout(late);
    }
    throw new Error(`the service did not start:\n${this.log()}`);
  }

  /** Resolves when it ended by itself. */
  async ended() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
  }

  /** A token of a role, for a service that is not started yet. */
  createToken(role, system = 'default') {
    const file = join(this.directory, 'tokens');
    if (!this.flags.includes(file)) this.flags.push('--tokens-file', file);
    const text = execFileSync(
      this.#binary,
      ['token', 'create', '--role', role, '--system', system, '--tokens-file', file],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    return text.trim().split(/\s+/).at(-1);
  }

  log() {
    return readFileSync(join(this.directory, 'log'), 'utf8');
  }

  async kill(signal = 'SIGKILL') {
    this.#process.kill(signal);
    await this.ended();
  }

  /** Ends it and removes its files; throws when a sanitizer had something to say. */
  async end() {
    if (this.#process) await this.kill('SIGTERM');
    const log = this.log();
    rmSync(this.directory, { recursive: true, force: true });
    if (/Sanitizer: |runtime error: /.test(log)) throw new Error(log);
  }
}

/** Waits until `what` gives something true; fails the test when that never comes. */
export async function until(what, patienceMs = 60000) {
  for (const end = Date.now() + patienceMs; Date.now() < end;) {
    const found = await what();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}

export async function collect(items, limit = Infinity) {
  const all = [];
  for await (const item of items) {
    all.push(item);
    if (all.length >= limit) break;
  }
  return all;
}
