import { badAnswer } from './answers.js';
import { hashOf, hashOfHeader } from './digest.js';
import { HoldfastError } from './errors.js';
import { decodeState } from './state.js';

/**
 * Reads a state; its bytes are held against the digest that the service promises. Without a digest and a version it is
 * no state, whatever its status says.
 */
export async function loadState(transport, path, component, options) {
  const { version, at, sequence, snapshot, ifMatch, signal, timeout } = options;
  let hash;
  const { headers, body: bytes } = await transport.send({
    method: 'GET',
    path,
    query: { version, at, sequence, snapshot },
    headers: { 'If-Match': ifMatch },
    check: (reply) => {
      hash = hashOf(reply.body);
      checkState(reply, hash);
    },
    timeoutMs: timeout,
    signal,
  });
  const contentType = headers['content-type'];
  return {
    component,
    bytes,
    contentType,
    hash,
    value: decodeState(bytes, contentType),
    version: Number(headers['state-version']),
    sequence: Number(headers['state-sequence']),
    epoch: Number(headers['state-epoch']),
    etag: headers.etag,
    cutAt: headers['state-cut-at'] ?? null,
    snapshot: headers['snapshot-id'] ?? null,
  };
}

/** An answer whose bytes are not those of its digest was damaged on the way, and may be asked for again. */
function checkState(reply, hash) {
  const wanted = hashOfHeader(reply.headers['repr-digest']);
  if (!wanted || !/^[1-9]\d*$/.test(reply.headers['state-version'] ?? '')) {
    throw badAnswer(reply, `status ${reply.status}, and the answer is no state: it has no digest, or no version`);
  }
  if (wanted !== hash) {
    throw new HoldfastError('damaged_answer', `the state that came has ${hash}, the service promised ${wanted}`, {
      retryable: true,
      requestId: reply.headers['x-request-id'] ?? null,
    });
  }
}
