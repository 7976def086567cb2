import { HoldfastError } from './errors.js';

/**
 * An answer with a status of success that is not the service's, as a proxy or the page of a hotel's network gives it.
 * It proves nothing: what was asked may be done or not.
 */
export function badAnswer(reply, what) {
  return new HoldfastError('bad_answer', what, {
    status: reply.status,
    requestId: reply.headers['x-request-id'] ?? null,
    retryable: true,
  });
}

/** The JSON object that an answer is. */
export function objectOf(reply) {
  let object;
  try {
    object = JSON.parse(reply.body.toString('utf8'));
  } catch (cause) {
    throw Object.assign(badAnswer(reply, `status ${reply.status}, and the answer is no JSON`), { cause });
  }
  if (object === null || typeof object !== 'object' || Array.isArray(object)) {
    throw badAnswer(reply, `status ${reply.status}, and the answer is no JSON object`);
  }
  return object;
}

/** That an answer is the service's "done", which has no body. */
export function checkDone(reply) {
  if (reply.status !== 204) throw badAnswer(reply, `status ${reply.status} where the service answers 204`);
}

/** That a receipt is one for this state: without it nobody has said that the state is stored. */
export function checkReceipt(reply, receipt, component, hash) {
  if (receipt?.component !== component || receipt.hash !== hash || !(receipt.version >= 1)) {
    const told = `${receipt?.component}, ${receipt?.hash}, version ${receipt?.version}`;
    throw badAnswer(reply, `the receipt is not for ${component} with ${hash} (${told})`);
  }
}
