import { createHash } from 'node:crypto';

/** The hash of bytes as receipts tell it: `sha256:` and 64 hex digits. */
export function hashOf(bytes) {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The value of Content-Digest (RFC 9530) for a hash. */
export function digestHeader(hash) {
  return `sha-256=:${Buffer.from(hash.slice(7), 'hex').toString('base64')}:`;
}

/** The hash in a Repr-Digest or Content-Digest; null when it names no SHA-256. */
export function hashOfHeader(header) {
  const found = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec(header ?? '');
  return found ? `sha256:${Buffer.from(found[1], 'base64').toString('hex')}` : null;
}
