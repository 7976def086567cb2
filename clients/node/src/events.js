import { abortReason, onAbort, sleep, throwIfAborted } from './abort.js';
import { badAnswer } from './answers.js';
import { HoldfastError } from './errors.js';
import { parseEvents } from './sse.js';
import { backoff } from './retry.js';
import { timerMs } from './timer.js';

const RECONNECT = { minMs: 500, maxMs: 15000 };

/** Twice the interval in which the service by default shows that a stream is alive, and some more. */
const IDLE_MS = 45000;

/**
 * The events of a system as they happen; each once and in order, also across lost connections and restarts of the
 * service: it comes back with the id of the last one. It ends with `system.deleted`, when the caller leaves the loop,
 * or by throwing the reason of the signal, or `closed`. A failure that no waiting mends (no such system, a bad token)
 * is thrown.
 *
 * @param {Transport} transport
 * @param {string} system
 * @param {object} options after, severity, signal, idleTimeout, reconnect (false: end with the first connection)
 */
export async function* followEvents(transport, system, options = {}) {
  const { signal, end } = transport.untilClosed(options.signal);
  try {
    yield* follow(transport, system, { ...options, signal });
  } finally {
    end();
  }
}

async function* follow(transport, system, options) {
  const place = { last: options.after, pauseMs: 0 };
  for (let failures = 0; ; failures += 1) {
    let askedMs = 0;
    try {
      for await (const event of readStream(transport, system, options, place)) {
        failures = 0;
        yield event;
        if (event.type === 'system.deleted') return;
      }
    } catch (error) {
      throwIfAborted(options.signal);
      if (!(error instanceof HoldfastError) || !error.retryable || options.reconnect === false) throw error;
      askedMs = error.retryAfterMs ?? 0;
    }
    throwIfAborted(options.signal);
    if (options.reconnect === false) return;
    await sleep(Math.max(place.pauseMs, askedMs, backoff(failures + 1, RECONNECT)), options.signal);
  }
}

/** One connection. Keeps in `place` where the next one has to begin. */
async function* readStream(transport, system, options, place) {
  const reply = await transport.send({
    method: 'GET',
    path: ['v1', 'systems', system, 'events'],
    query: { severity: options.severity },
    headers: { Accept: 'text/event-stream', 'Last-Event-ID': place.last },
    stream: true,
    signal: options.signal,
  });
  const { stream } = reply;
  if (!/^text\/event-stream\b/.test(reply.headers['content-type'] ?? '')) {
    stream?.destroy();
    throw badAnswer(reply, `status ${reply.status}, and the answer is no stream of events`);
  }
  const watch = watchStream(stream, options);
  try {
    for await (const block of parseEvents(stream)) {
      watch.alive();
      if (block.id) place.last = block.id;
      if (/^\d+$/.test(block.retry ?? '')) place.pauseMs = Number(block.retry);
      if (block.data !== undefined) yield JSON.parse(block.data);
    }
  } catch (error) {
    throw watch.reason() ?? asLost(error);
  } finally {
    watch.end();
    stream.destroy();
  }
}

/** Ends the stream when the signal is aborted, or when nothing came for too long. */
function watchStream(stream, { signal, idleTimeout = IDLE_MS }) {
  let reason = null;
  const stop = (why) => {
    reason = why;
    stream.destroy();
  };
  const forget = onAbort(signal, () => stop(abortReason(signal)));
  const timer = setTimeout(
    () => stop(new HoldfastError('timeout', `no sign of life for ${idleTimeout} ms`, { retryable: true })),
    timerMs(idleTimeout),
  );
  return {
    alive: () => timer.refresh(),
    reason: () => reason,
    end: () => {
      clearTimeout(timer);
      forget();
    },
  };
}

function asLost(error) {
  if (error instanceof HoldfastError || error instanceof SyntaxError) return error;
  return new HoldfastError('connection_lost', `the stream of events broke off: ${error.message}`, {
    retryable: true,
    cause: error,
  });
}
