/** Codes of the service that say for certain that nothing was done: any call may be repeated after them. */
const NOTHING_DONE = new Set(['starting', 'shutting_down', 'overloaded']);

/** After these the change may have been stored although no receipt came. */
const OUTCOME_UNKNOWN = new Set([
  'connection_lost',
  'timeout',
  'outcome_unknown',
  'store_unavailable',
  'http_error',
  'bad_answer',
]);

/** What a gateway between client and service answers when the service is away. */
const PASSING_STATUS = new Set([429, 502, 503, 504]);

/**
 * Every failure that this package reports, but for those of the caller's own making (TypeError) and an AbortSignal's
 * reason, which is thrown as it is.
 *
 * Programs decide by `code`. It is one of the service's codes (docs/api.md), or of the client's own: `connection_lost`,
 * `timeout`, `http_error` (a failure that is not the service's), `bad_answer` (a success that is not the service's: no
 * state, no receipt, or that of another one), `damaged_answer` (the bytes are not those of their digest), `queue_full`,
 * `dropped`, `not_saved`, `closed`.
 */
export class HoldfastError extends Error {
  /**
   * @param {string} code
   * @param {string} detail a sentence for people
   * @param {object} [more] status, retryable, requestId, and members of the problem such as currentEtag or epoch
   */
  constructor(code, detail, more = {}) {
    const { cause, ...members } = more;
    super(detail ? `${code}: ${detail}` : code, cause === undefined ? undefined : { cause });
    this.name = 'HoldfastError';
    this.code = code;
    this.detail = detail;
    this.status = 0;
    this.retryable = false;
    this.requestId = null;
    Object.assign(this, members);
  }

  /** The failure that an answer tells of. */
  static fromReply(reply) {
    const members = { status: reply.status, requestId: reply.headers['x-request-id'] ?? null };
    const after = readRetryAfter(reply.headers['retry-after']);
    if (after !== null) members.retryAfterMs = after;
    const problem = readProblem(reply);
    if (!problem) {
      members.retryable = PASSING_STATUS.has(reply.status);
      return new HoldfastError('http_error', `status ${reply.status}, and the answer is not the service's`, members);
    }
    const { code, detail, type, title, instance, ...rest } = problem;
    return new HoldfastError(code, detail ?? title ?? '', { ...rest, ...members });
  }

  /** True when the same call may be sent again, even one that would do its work twice. */
  get nothingDone() {
    return this.neverSent === true || (this.status === 503 && NOTHING_DONE.has(this.code));
  }

  /** True when the service itself gave this answer, and not something on the way to it. */
  get fromService() {
    return this.status >= 300 && this.code !== 'http_error';
  }

  /** True when it is not known whether the service did what was asked. */
  get outcomeUnknown() {
    return !this.nothingDone && OUTCOME_UNKNOWN.has(this.code);
  }
}

/** In ms: the header is a number of seconds or a date. Null when it is neither. */
function readRetryAfter(text) {
  if (text === undefined) return null;
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

function readProblem(reply) {
  if (!String(reply.headers['content-type'] ?? '').startsWith('application/problem+json')) return null;
  try {
    const problem = JSON.parse(reply.body.toString('utf8'));
    return typeof problem?.code === 'string' ? problem : null;
  } catch {
    return null;
  }
}

/** What the promise gives; null when the service says that there is no such thing. */
export async function orNull(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.status === 404 && error.fromService) return null;
    throw error;
  }
}
