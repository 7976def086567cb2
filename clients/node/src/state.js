import { hashOf } from './digest.js';

export const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';

/**
 * What a state is on the wire. Bytes (Uint8Array, ArrayBuffer) are taken as they are; a string with a content type is
 * its UTF-8; anything else becomes JSON. It is done at once, so what the caller changes later is not in it.
 *
 * @throws {TypeError} when there is no JSON for the value (undefined, a function, a cycle)
 */
export function encodeState(value, contentType) {
  const bytes = toBytes(value, contentType);
  const type = contentType ?? (isBytes(value) ? BYTES_TYPE : JSON_TYPE);
  return { bytes, contentType: type, hash: hashOf(bytes) };
}

/** JSON as a value, everything else as a Buffer. */
export function decodeState(bytes, contentType) {
  return isJson(contentType) ? JSON.parse(bytes.toString('utf8')) : bytes;
}

export function isJson(contentType) {
  return /^application\/(?:json|[^;]+\+json)\s*(?:;|$)/i.test(contentType ?? JSON_TYPE);
}

function isBytes(value) {
  return value instanceof Uint8Array || value instanceof ArrayBuffer;
}

function toBytes(value, contentType) {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (value instanceof ArrayBuffer) return Buffer.from(value.slice(0));
  if (typeof value === 'string' && contentType !== undefined) return Buffer.from(value, 'utf8');
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a state must be bytes or a JSON value, not ${typeof value}`);
  return Buffer.from(text, 'utf8');
}
