import http from 'node:http';
import https from 'node:https';
import { onAbort, abortReason } from './abort.js';
import { firstOf } from './abort.js';
import { objectOf } from './answers.js';
import { HoldfastError } from './errors.js';
import { exchange } from './http.js';
import { DEFAULT_RETRY, withRetries } from './retry.js';

const DEFAULT_TIMEOUT_MS = 30000;
const MAX_CONNECTIONS = 32;

/** The way to one service: its address, the token, the connections that are kept, and when a call is sent again. */
export class Transport {
  #base;
  #token;
  #timeoutMs;
  #retry;
  #tls;
  #agent;
  #closing = new AbortController();

  constructor(url, { token, timeout = DEFAULT_TIMEOUT_MS, retry = {}, tls = {} } = {}) {
    this.#base = new URL(url);
    if (!/^https?:$/.test(this.#base.protocol)) throw new TypeError(`not an address of a service: ${url}`);
    this.#token = token;
    this.#timeoutMs = timeout;
    this.#retry = { ...DEFAULT_RETRY, ...(retry === false ? { attempts: 1 } : retry) };
    this.#tls = tls;
    const library = this.#base.protocol === 'https:' ? https : http;
    this.#agent = new library.Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS, ...tls });
  }

  get url() {
    return this.#base.href.replace(/\/+$/, '');
  }

  /**
   * Sends a call, again if need be, and gives the answer when its status is 2xx.
   *
   * @param {object} call
   * @param {string} call.method
   * @param {string[]} call.path segments, escaped here
   * @param {object} [call.query] undefined and null members are left out
   * @param {object} [call.headers] the same
   * @param {Buffer} [call.body]
   * @param {object} [call.json] the body, as JSON
   * @param {boolean} [call.safe] doing it twice is as good as once. Else it is sent again only when it is certain that
   *     nothing was done, and on a connection of its own, as one that was kept may have died meanwhile.
   * @param {(reply: object) => void} [call.check] throws when the answer is no good
   * @param {number} [call.timeoutMs] of one attempt; 0: none
   * @param {boolean} [call.stream] give the body as a stream
   * @param {AbortSignal} [call.signal]
   * @throws {HoldfastError} and the signal's reason
   */
  async send(call) {
    const { signal, end } = this.untilClosed(call.signal);
    try {
      return await this.#send(call, signal);
    } finally {
      end();
    }
  }

  /** The same, for an answer that is a JSON object; `check` gets it too. */
  async json({ check, ...call }) {
    let object;
    await this.send({
      ...call,
      check: (reply) => {
        object = objectOf(reply);
        check?.(reply, object);
      },
    });
    return object;
  }

  /** A signal that is aborted with this one, or by close(); and `end`, to be called when it is no longer needed. */
  untilClosed(signal) {
    return firstOf(signal, this.#closing.signal);
  }

  /** Ends the connections that are kept, and what is under way. What is called later opens new ones. */
  close() {
    const closing = this.#closing;
    this.#closing = new AbortController();
    closing.abort(new HoldfastError('closed', 'the client was closed meanwhile', { retryable: true }));
    this.#agent.destroy();
  }

  #send(call, signal) {
    const safe = call.safe ?? (call.method === 'GET' || call.method === 'HEAD');
    const body = call.json === undefined ? call.body : Buffer.from(JSON.stringify(call.json), 'utf8');
    const attempt = async () => {
      const reply = await exchange({
        url: this.#urlOf(call.path, call.query),
        method: call.method,
        headers: this.#headersOf(call, body),
        body,
        agent: safe ? this.#agent : false,
        tls: this.#tls,
        signal,
        timeoutMs: call.timeoutMs ?? this.#timeoutMs,
        stream: call.stream,
      });
      if (reply.status < 200 || reply.status > 299) throw HoldfastError.fromReply(reply);
      call.check?.(reply);
      return reply;
    };
    const mayRepeat = (error) => error instanceof HoldfastError && (error.nothingDone || (safe && isPassing(error)));
    return withRetries(attempt, { policy: this.#retry, mayRepeat, lasting: call.timeoutMs === 0, signal });
  }

  #urlOf(path, query = {}) {
    const url = new URL(this.#base);
    url.pathname = url.pathname.replace(/\/+$/, '') + path.map((part) => `/${encodeURIComponent(part)}`).join('');
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) url.searchParams.set(key, textOf(value));
    }
    return url;
  }

  #headersOf(call, body) {
    const headers = { Accept: 'application/json, */*' };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (call.json !== undefined) headers['Content-Type'] = 'application/json';
    if (body !== undefined) headers['Content-Length'] = body.length;
    for (const [key, value] of Object.entries(call.headers ?? {})) {
      if (value !== undefined && value !== null) headers[key] = String(value);
    }
    return headers;
  }
}

/** It may be better in a moment: the service is away, or says so itself. */
function isPassing(error) {
  return error.retryable && (error.status === 0 || error.status === 503 || !error.fromService);
}

function textOf(value) {
  return value instanceof Date ? value.toISOString() : String(value);
}
