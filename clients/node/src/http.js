import http from 'node:http';
import https from 'node:https';
import { abortReason, onAbort } from './abort.js';
import { HoldfastError } from './errors.js';
import { timerMs } from './timer.js';

/** Failures from before the first byte could be sent. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** How long a connection may be silent before the system asks whether the other side still lives. */
const PROBE_MS = 30000;

/**
 * One request and its answer, never repeated here.
 *
 * node:http instead of fetch: calls that take as long as they take (a validation, a restore) must not end after five
 * minutes, and close() must be able to end the connections that are kept.
 *
 * @param {object} call url, method, headers, body (Buffer), agent, tls, signal; timeoutMs for the whole answer, 0:
 *     none; stream: resolve with the response itself, its body unread, when the status is 200
 * @returns {Promise<{status: number, headers: object, body?: Buffer, stream?: http.IncomingMessage}>}
 * @throws {HoldfastError} connection_lost or timeout; the signal's reason when it is aborted
 */
export function exchange(call) {
  return new Promise((resolve, reject) => {
    const { signal } = call;
    if (signal?.aborted) return reject(abortReason(signal));
    const library = call.url.protocol === 'https:' ? https : http;
    const request = library.request(call.url, {
      method: call.method,
      headers: call.headers,
      agent: call.agent,
      ...call.tls,
    });
    let timer;
    let settled = false;
    const settle = (how, value) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      forget();
      how(value);
    };
    const forget = onAbort(signal, () => {
      settle(reject, abortReason(signal));
      request.destroy();
    });
    if (call.timeoutMs > 0) {
      timer = setTimeout(() => {
        settle(
          reject,
          new HoldfastError('timeout', `no whole answer to ${name(call)} within ${call.timeoutMs} ms`, {
            retryable: true,
          }),
        );
        request.destroy();
      }, timerMs(call.timeoutMs));
    }
    request.on('socket', (socket) => socket.setKeepAlive(true, PROBE_MS));
    request.on('error', (cause) => settle(reject, lost(call, cause)));
    request.on('response', (response) => {
      response.on('error', (cause) => settle(reject, lost(call, cause)));
      if (call.stream && response.statusCode === 200) {
        return settle(resolve, { status: 200, headers: response.headers, stream: response });
      }
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () =>
        settle(resolve, {
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(parts),
        }),
      );
      response.on('close', () => settle(reject, lost(call, new Error('the answer broke off'))));
    });
    request.end(call.body);
  });
}

function lost(call, cause) {
  return new HoldfastError('connection_lost', `${name(call)}: ${cause.code ?? cause.message}`, {
    retryable: true,
    neverSent: NEVER_SENT.has(cause.code),
    cause,
  });
}

function name(call) {
  return `${call.method} ${call.url.pathname} at ${call.url.host}`;
}
