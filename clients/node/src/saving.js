import { randomUUID } from 'node:crypto';
import { checkReceipt, objectOf } from './answers.js';
import { digestHeader, hashOfHeader } from './digest.js';
import { encodeState, isJson } from './state.js';

/**
 * Saves one encoded state and gives the receipt, with the ETag in `etag`.
 *
 * It is safe to send again: the same content is no new version. Only a condition would refuse its own write when the
 * first answer got lost; then the version that the condition led to is looked at, and if it holds these very bytes,
 * that was it.
 */
export async function saveState(transport, path, encoded, options) {
  let receipt;
  try {
    const reply = await transport.send({
      method: 'PUT',
      path,
      body: encoded.bytes,
      safe: true,
      headers: {
        'Content-Type': encoded.contentType,
        'Content-Digest': digestHeader(encoded.hash),
        'If-Match': options.ifMatch,
        'If-None-Match': options.ifNoneMatch,
        'State-Epoch': options.epoch,
        'State-Event': options.event,
        'State-Event-Snapshot': options.eventSnapshot,
        'State-Order': options.order,
      },
      check: (answer) => {
        receipt = objectOf(answer);
        checkReceipt(answer, receipt, path[4], encoded.hash);
      },
      timeoutMs: options.timeout,
      signal: options.signal,
    });
    return { ...receipt, etag: reply.headers.etag };
  } catch (error) {
    const own =
      error.code === 'precondition_failed' && error.uncertain
        ? await findOwnWrite(transport, path, encoded, options)
        : null;
    if (own) return own;
    throw error;
  }
}

async function findOwnWrite(transport, path, encoded, options) {
  const before = /^"(\d+)-/.exec(options.ifMatch ?? '');
  let reply;
  try {
    reply = await transport.send({
      method: 'HEAD',
      path,
      query: { version: before ? Number(before[1]) + 1 : undefined },
      signal: options.signal,
    });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
  const { headers } = reply;
  if (hashOfHeader(headers['repr-digest']) !== encoded.hash) return null;
  const committed = new Date(headers['last-modified']);
  return {
    system: path[2],
    component: path[4],
    version: Number(headers['state-version']),
    sequence: Number(headers['state-sequence']),
    epoch: Number(headers['state-epoch']),
    hash: encoded.hash,
    bytes: encoded.bytes.length,
    unchanged: false,
    durability: 'database',
    committedAt: Number.isNaN(committed.getTime()) ? null : committed.toISOString(),
    nextIncrementalBackup: null,
    etag: headers.etag,
  };
}

/**
 * Saves many states in one transaction. One key for all attempts makes it safe to send again. The service answers in
 * the order of the items.
 */
export function saveStates(transport, path, items, options) {
  if (!Array.isArray(items) || items.length === 0) throw new TypeError('saveMany takes a list of states');
  const encoded = items.map(encodeItem);
  const body = Buffer.concat(items.flatMap((item, index) => lineOf(item, encoded[index])));
  return transport.json({
    method: 'POST',
    path,
    body,
    safe: true,
    headers: {
      'Content-Type': 'application/x-ndjson',
      'Idempotency-Key': options.idempotencyKey ?? randomUUID(),
      'State-Epoch': options.epoch,
      'State-Order': options.order,
    },
    check: (answer, { results }) =>
      items.forEach(({ component }, index) => {
        checkReceipt(answer, results?.[index], component, encoded[index].hash);
      }),
    timeoutMs: options.timeout,
    signal: options.signal,
  });
}

function encodeItem(item) {
  if (typeof item?.component !== 'string') throw new TypeError('each item of saveMany needs its component');
  return encodeState(item.state, item.contentType);
}

function lineOf(item, { bytes, contentType }) {
  // JSON that came as text may have line breaks, which end a line of a batch.
  const embedded = isJson(contentType) && !bytes.includes(0x0a) && !bytes.includes(0x0d);
  const { component, ifMatch, ifNoneMatch, event } = item;
  const head = { component, ifMatch, ifNoneMatch, event, contentType };
  if (!embedded) head.stateBase64 = bytes.toString('base64');
  const text = JSON.stringify(head);
  return embedded
    ? [Buffer.from(`${text.slice(0, -1)},"state":`), bytes, Buffer.from('}\n')]
    : [Buffer.from(`${text}\n`)];
}
