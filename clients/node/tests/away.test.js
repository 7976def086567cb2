/** The service is slow, away, full, or answers 503. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Holdfast } from '../src/index.js';
import { hashOf } from '../src/digest.js';
import { withRetries } from '../src/retry.js';
import { proxy, service } from './support/proxied.js';
import { answerOf, refusal } from './support/proxy.js';
import { Service, collect, hasFaultPoints, until } from './support/service.js';

const QUICK = { minMs: 1, maxMs: 20 };

async function withClient(options, use) {
  Object.assign(proxy, { requests: [], heads: [], refusals: 0, delayMs: 0 });
  const client = new Holdfast(proxy.url, { retry: QUICK, ...options });
  try {
    await use(client);
  } finally {
    client.close();
  }
}

test('a save is sent again after a 503', () =>
  withClient({ system: 'busy' }, async (client) => {
    proxy.answer = refusal('store_unavailable');
    proxy.refusals = 2;
    assert.equal((await client.save('agent', 1)).version, 1);
    assert.equal(proxy.requests.length, 3);
  }));

test('Retry-After is waited for, and ends the matter when it is beyond the time', () =>
  withClient({ system: 'busy', retry: { ...QUICK, totalMs: 500 } }, async (client) => {
    proxy.answer = refusal('overloaded', { 'Retry-After': 3600 });
    proxy.refusals = 1;
    await assert.rejects(client.save('agent', 2), { code: 'overloaded', retryAfterMs: 3600000, attempts: 1 });
    proxy.answer = refusal('overloaded', { 'Retry-After': 1 });
    proxy.refusals = 1;
    const began = Date.now();
    const patient = new Holdfast(proxy.url, { system: 'busy', retry: QUICK });
    await patient.save('agent', 3);
    patient.close();
    assert.ok(Date.now() - began >= 1000, 'it came back before Retry-After'); // a lower bound holds on any machine
  }));

test('Retry-After may be a date', () =>
  withClient({ system: 'busy', retry: { ...QUICK, totalMs: 60000 } }, async (client) => {
    proxy.answer = refusal('overloaded', { 'Retry-After': new Date(Date.now() + 3600000).toUTCString() });
    proxy.refusals = 1;
    const error = await client.save('agent', 4).catch((reason) => reason);
    assert.deepEqual([error.code, error.attempts], ['overloaded', 1]);
    assert.ok(error.retryAfterMs > 1800000 && error.retryAfterMs <= 3600000, `${error.retryAfterMs}`);
    proxy.answer = refusal('overloaded', { 'Retry-After': 'Wed, 21 Oct 2015 07:28:00 GMT' });
    proxy.refusals = 1;
    assert.equal((await client.save('agent', 4)).component, 'agent', 'one that is over is no reason to wait');
    proxy.answer = refusal('overloaded', { 'Retry-After': 'soon' });
    proxy.refusals = 1;
    assert.equal((await client.save('agent', 5)).component, 'agent');
  }));

test('each write has its place among those of its client, the same in all attempts', () =>
  withClient({ system: 'places' }, async (client) => {
    proxy.answer = refusal('overloaded');
    proxy.refusals = 2;
    await client.save('agent', 1);
    await client.saveMany([{ component: 'agent', state: 2 }]);
    await client.load('agent');
    proxy.cuts = 1;
    await client.saveMany([{ component: 'agent', state: 3 }]);
    await client.deleteComponent('agent');
    const other = new Holdfast(proxy.url, { system: 'places' });
    await other.save('agent', 4);
    other.close();
    const sent = (name) => proxy.heads.map((head) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]);
    const places = sent('State-Order').map((place) => place?.split('/'));
    assert.deepEqual(
      places.map((place) => place && Number(place[1])),
      [1, 1, 1, 2, undefined, 3, 3, 4, 1],
    );
    const writers = [...new Set(places.filter(Boolean).map(([writer]) => writer))];
    assert.equal(writers.length, 2);
    for (const writer of writers) assert.match(writer, /^[A-Za-z0-9._-]{1,64}$/);
    const keys = sent('Idempotency-Key').filter(Boolean);
    assert.ok(keys[1] === keys[2] && keys[0] !== keys[1], 'a batch keeps its key');
  }));

test('an attempt that arrives after a later save is stored changes nothing', () =>
  withClient({ system: 'late', retry: false }, async (client) => {
    await client.save('agent', 0);
    const timeout = 1500; // it is on its way by then, on any machine
    const overtaken = [
      () => client.save('agent', 1, { timeout }),
      () => client.saveMany([{ component: 'agent', state: 2 }], { timeout }),
      () => client.deleteComponent('agent', { timeout }),
    ];
    for (const [index, call] of overtaken.entries()) {
      proxy.holds = 1;
      await assert.rejects(call(), { code: 'timeout' });
      const { version } = await client.save('agent', { index });
      const [answer] = await proxy.release();
      assert.match(answer, /^HTTP\/1.1 409 [^]*"superseded"/);
      const state = await client.load('agent');
      assert.deepEqual([state.value.index, state.version], [index, version]);
    }
  }));

test('of two saves under way at a time the later one stays', () =>
  withClient({ system: 'overtaken', retry: false }, async (client) => {
    proxy.holds = 1;
    const first = assert.rejects(client.save('agent', 1), { code: 'superseded', retryable: false });
    await client.save('agent', 2);
    await proxy.release();
    await first;
    assert.equal((await client.load('agent')).value, 2);
  }));

test('the number of attempts is bounded, and the last failure is told', () =>
  withClient({ retry: { ...QUICK, attempts: 3 } }, async (client) => {
    proxy.answer = refusal('starting');
    proxy.refusals = 100;
    await assert.rejects(client.save('agent', 1), { code: 'starting', status: 503, attempts: 3, retryable: true });
    assert.equal(proxy.requests.length, 3);
    proxy.refusals = 0;
  }));

test('a lost answer is asked for again, and the same content makes no second version', () =>
  withClient({ system: 'cut' }, async (client) => {
    proxy.cuts = 1;
    const receipt = await client.save('agent', { step: 1 });
    assert.deepEqual([receipt.version, receipt.unchanged], [1, true]);
    proxy.cuts = 1;
    await client.saveMany([{ component: 'agent', state: { step: 2 } }]);
    assert.equal((await collect(client.history('agent'))).length, 2);
  }));

test('a condition does not refuse its own write whose answer was lost', () =>
  withClient({ system: 'own' }, async (client) => {
    proxy.cuts = 1;
    const first = await client.save('agent', { step: 1 }, { ifNoneMatch: '*' });
    assert.equal(first.version, 1);
    proxy.cuts = 1;
    const second = await client.save('agent', { step: 2 }, { ifMatch: first.etag });
    assert.deepEqual([second.version, second.unchanged, second.component, second.system], [2, false, 'agent', 'own']);
    assert.equal(second.etag, (await client.load('agent')).etag);
    await client.save('agent', { step: 3 }, { ifMatch: second.etag });
    assert.equal((await collect(client.history('agent'))).length, 3);
  }));

test('a condition refuses the write of another one, also when an answer was lost', () =>
  withClient({ system: 'others' }, async (client) => {
    const first = await client.save('agent', { step: 1 });
    await client.save('agent', { step: 2 });
    proxy.cuts = 1;
    await assert.rejects(client.save('agent', { step: 3 }, { ifMatch: first.etag }), { code: 'precondition_failed' });
    assert.equal((await client.load('agent')).value.step, 2);
  }));

test('what would do its work twice is sent again only when nothing was done', () =>
  withClient({ system: 'unsafe' }, async (client) => {
    await client.save('agent', 1);
    const kept = proxy.connections;
    await client.save('agent', 2);
    assert.equal(proxy.connections, kept, 'a connection is kept');
    await client.deleteComponent('none').catch(() => {});
    assert.equal(proxy.connections, kept + 1, 'one that may have died is not used');
    proxy.answer = refusal('overloaded');
    proxy.refusals = 2;
    const snapshot = await client.snapshot();
    assert.deepEqual(
      (await collect(client.snapshots())).map(({ id }) => id),
      [snapshot.id],
    );
    proxy.answer = refusal('outcome_unknown');
    proxy.refusals = 1;
    await assert.rejects(client.snapshot(), { code: 'outcome_unknown', attempts: 1 });
  }));

test('a recovery whose answer was lost is asked for again, and made once', () =>
  withClient({ system: 'once' }, async (client) => {
    await client.save('agent', 1);
    const { id } = await client.snapshot();
    await client.save('agent', 2);
    const keysOf = () =>
      proxy.heads.map((head) => /^Idempotency-Key: (.*)$/im.exec(head)?.[1]).filter((key) => key !== undefined);
    const losing = async (call) => {
      Object.assign(proxy, { heads: [], cuts: 1 });
      const recovery = await call();
      const [first, second, ...more] = keysOf();
      assert.ok(first && first === second && more.length === 0, `${keysOf()}`);
      return { recovery, key: first };
    };
    const restored = await losing(() => client.restore({ snapshot: id }));
    assert.deepEqual([restored.recovery.status, restored.recovery.epoch], ['applied', 2]);
    const planned = await losing(() => client.planRestore({ snapshot: id }));
    const applied = await losing(() => client.apply(planned.recovery));
    assert.deepEqual([applied.recovery.id, applied.recovery.epoch], [planned.recovery.id, 3]);
    const started = await losing(() => client.startRecovery());
    assert.equal(started.recovery.status, 'pending');
    const keys = [restored, planned, applied, started].map(({ key }) => key);
    assert.equal(new Set(keys).size, 4, 'each call has a key of its own');
    assert.deepEqual(
      (await collect(client.recoveries())).map((recovery) => recovery.id).sort(),
      [restored.recovery.id, planned.recovery.id, started.recovery.id].sort(),
    );
    assert.equal((await client.systemInfo()).epoch, 3);
  }));

test('what may take long is tried again for as long from its first failure on', async () => {
  const policy = { ...QUICK, attempts: 3, totalMs: 200 };
  const run = async (lasting) => {
    let attempts = 0;
    const attempt = async () => {
      attempts += 1;
      if (attempts > 1) return attempts;
      await new Promise((resolve) => setTimeout(resolve, 300)); // a lower bound holds on any machine
      throw new Error('lost');
    };
    return withRetries(attempt, { policy, mayRepeat: () => true, lasting });
  };
  assert.equal(await run(true), 2);
  await assert.rejects(run(false), { message: 'lost' });
});

test('a key of its own makes a recovery once, in whichever call', () =>
  withClient({ system: 'keyed', retry: false }, async (client) => {
    await client.save('agent', 1);
    const { id } = await client.snapshot();
    proxy.cuts = 1;
    await assert.rejects(client.restore({ snapshot: id }, { idempotencyKey: 'back' }), { outcomeUnknown: true });
    const { epoch } = await client.restore({ snapshot: id }, { idempotencyKey: 'back' });
    assert.equal(epoch, 2);
    await assert.rejects(client.startRecovery({ idempotencyKey: 'back' }), { code: 'idempotency_key_reused' });
  }));

test('a slow answer is waited for as long as the timeout allows', () =>
  withClient({ system: 'slow', timeout: 20000 }, async (client) => {
    proxy.delayMs = 150;
    assert.equal((await client.save('agent', 1)).version, 1);
    proxy.delayMs = 60000;
    await assert.rejects(client.save('agent', 2, { timeout: 1500 }), { code: 'timeout', retryable: true });
    const straight = new Holdfast(service.url, { system: 'slow' });
    await until(async () => (await straight.load('agent')).value === 2); // it is saved all the same
    straight.close();
    proxy.delayMs = 0;
    proxy.cut();
    assert.equal((await client.load('agent')).value, 2);
  }));

test('a signal ends a call, and its waiting for another attempt', () =>
  withClient({}, async (client) => {
    proxy.delayMs = 60000;
    const control = new AbortController();
    const call = client.save('agent', 1, { signal: control.signal });
    control.abort(new Error('enough'));
    await assert.rejects(call, { message: 'enough' });
    proxy.delayMs = 0;
    proxy.answer = refusal('overloaded', { 'Retry-After': 20 });
    proxy.refusals = 1;
    const second = new AbortController();
    const waiting = client.save('agent', 1, { signal: second.signal });
    setTimeout(() => second.abort(), 50);
    await assert.rejects(waiting, { name: 'AbortError' });
    await assert.rejects(client.load('agent', { signal: AbortSignal.abort() }), { name: 'AbortError' });
    proxy.refusals = 0;
  }));

test('bytes that were damaged on the way are noticed, and asked for again', () =>
  withClient({ system: 'damage', retry: { ...QUICK, attempts: 2 } }, async (client) => {
    await client.save('agent', { word: 'whole' });
    proxy.damage = ['whole', 'holes'];
    await assert.rejects(client.load('agent'), { code: 'damaged_answer', attempts: 2 });
    proxy.damage = null;
    assert.equal((await client.load('agent')).value.word, 'whole');
  }));

test("an answer that is not the service's is no success", () =>
  withClient({ retry: { ...QUICK, attempts: 2 } }, async (client) => {
    proxy.answer = 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<p>hm';
    proxy.refusals = 2;
    await assert.rejects(client.status(), { code: 'http_error', status: 502, attempts: 2 });
    proxy.answer = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"half"';
    proxy.refusals = 2;
    await assert.rejects(client.status(), { code: 'connection_lost' });
  }));

const PAGE = '<html>Please sign in</html>';

test("a success that is not the service's is none", () =>
  withClient({ system: 'impostor', retry: { ...QUICK, attempts: 2 } }, async (client) => {
    await client.register('agent');
    const { version } = await client.save('agent', 'known');
    const receipt = { component: 'agent', hash: hashOf(Buffer.from('2')), version: 7 };
    const calls = {
      load: () => client.load('agent'),
      loadIfAny: () => client.loadIfAny('agent'),
      save: () => client.save('agent', 1),
      saveMany: () => client.saveMany([{ component: 'agent', state: 1 }]),
      systemInfo: () => client.systemInfo(),
      heartbeat: () => client.heartbeat('agent', { health: 1 }),
      history: () => collect(client.history('agent')),
    };
    const answers = [
      [answerOf(200, 'text/html', PAGE), Object.keys(calls)],
      [answerOf(200, 'application/json', '{}'), ['load', 'save', 'saveMany', 'heartbeat', 'history']],
      [answerOf(200, 'application/json', 'null'), ['load', 'save', 'saveMany', 'systemInfo']],
      [answerOf(200, 'application/json', JSON.stringify(receipt)), ['load', 'save']],
      [answerOf(200, 'application/json', JSON.stringify({ results: [receipt] })), ['saveMany']],
    ];
    for (const [answer, names] of answers) {
      for (const name of names) {
        Object.assign(proxy, { answer, refusals: 2 });
        await assert.rejects(calls[name](), { code: 'bad_answer', retryable: true }, `${name}: ${answer}`);
        proxy.refusals = 0;
      }
    }
    assert.equal((await client.load('agent')).version, version);
    Object.assign(proxy, { answer: answers[0][0], refusals: 1 });
    assert.equal((await client.save('agent', 1)).version, version + 1, 'it is sent again');
    proxy.refusals = 1;
    await assert.rejects(client.snapshot(), { code: 'bad_answer', attempts: 1, outcomeUnknown: true });
    proxy.refusals = 1;
    await assert.rejects(collect(client.events({ reconnect: false })), { code: 'bad_answer' });
    Object.assign(proxy, { answer: answerOf(404, 'text/html', PAGE), refusals: 1 });
    await assert.rejects(client.loadIfAny('agent'), { code: 'http_error' }, 'nobody said that there is no such state');
  }));

test('a state that says less than a state does is none', () =>
  withClient({ system: 'bare', retry: false }, async (client) => {
    await client.save('agent', { step: 1 });
    for (const header of ['Repr-Digest', 'State-Version']) {
      proxy.damage = [new RegExp(`^${header}:`, 'im'), 'X-Nothing:'];
      await assert.rejects(client.load('agent'), { code: 'bad_answer' }, header);
    }
    proxy.damage = null;
  }));

test('close breaks off what is under way, what waits to be tried again, and streams', () =>
  withClient({ system: 'closed', retry: { ...QUICK, attempts: 1000, totalMs: 60000 } }, async (client) => {
    await client.save('agent', 1);
    const stream = client.events({ after: 0 });
    await stream.next();
    const ended = assert.rejects(collect(stream), { code: 'closed' });
    proxy.answer = refusal('overloaded', { 'Retry-After': 30 });
    proxy.refusals = 1;
    const waiting = assert.rejects(client.save('agent', 2), { code: 'closed' });
    await until(() => proxy.refusals === 0);
    proxy.delayMs = 60000;
    const asked = proxy.requests.length + 2;
    const snapshot = assert.rejects(client.snapshot(), { code: 'closed' });
    const load = assert.rejects(client.load('agent'), { code: 'closed' });
    await until(() => proxy.requests.length === asked);
    client.close();
    await Promise.all([ended, waiting, snapshot, load]);
    proxy.delayMs = 0;
    assert.equal((await client.load('agent')).value, 1, 'what is called later opens a new connection');
  }));

test('a service that dies between the commit and the answer', { skip: !hasFaultPoints() }, async () => {
  const mortal = new Service();
  await mortal.start({ fault: 'commit_after:exit' });
  const retry = { minMs: 20, maxMs: 200, attempts: 1000, totalMs: 60000 };
  const client = new Holdfast(mortal.url, { system: 'died', retry });
  const saving = client.save('agent', { step: 1 }, { ifNoneMatch: '*' });
  await mortal.ended();
  await mortal.start();
  const receipt = await saving;
  assert.deepEqual([receipt.version, (await collect(client.history('agent'))).length], [1, 1]);
  client.close();
  await mortal.end();
});

test('connect waits for a service that is just starting', async () => {
  const late = await Service.start();
  await late.kill();
  const options = { retry: { minMs: 20, maxMs: 200, attempts: 1000, totalMs: 60000 } };
  const connecting = Holdfast.connect(late.url, options);
  await late.start();
  const client = await connecting;
  assert.equal((await client.save('agent', 1)).version, 1);
  client.close();
  await late.end();
  await assert.rejects(Holdfast.connect(late.url, { retry: { ...QUICK, attempts: 2 } }), {
    code: 'connection_lost',
    attempts: 2,
  });
});

test('a tokens file: no token, a wrong one, and one that is too small', async () => {
  const tokens = new Service();
  const token = tokens.createToken('agent');
  await tokens.start();
  await assert.rejects(Holdfast.connect(tokens.url), { code: 'unauthorized', status: 401 });
  await assert.rejects(Holdfast.connect(tokens.url, { token: 'wrong' }), { code: 'unauthorized' });
  const client = await Holdfast.connect(tokens.url, { token });
  assert.equal((await client.save('agent', 1)).version, 1);
  await assert.rejects(client.snapshot(), { code: 'forbidden', status: 403 });
  client.close();
  await tokens.end();
});
