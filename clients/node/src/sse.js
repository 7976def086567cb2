import { HoldfastError } from './errors.js';

/** No event of the service comes near this. */
const BLOCK_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Reads server-sent events from the chunks of a stream: yields a block's `id`, `event`, `data` and `retry` as they
 * came, also of blocks that have no data, and an empty block for a comment, which shows that the stream is alive.
 */
export async function* parseEvents(chunks) {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let block = {};
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    if (rest.length > BLOCK_BYTES_MAX) throw new HoldfastError('http_error', 'a line of the stream has no end');
    for (const line of lines) {
      if (line === '') {
        if (Object.keys(block).length > 0) yield block;
        block = {};
      } else if (line.startsWith(':')) {
        yield {};
      } else {
        takeField(block, line);
      }
    }
  }
}

function takeField(block, line) {
  const colon = line.indexOf(':');
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
  if (field === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
  else if (field === 'id' || field === 'event' || field === 'retry') block[field] = value;
}
