/** The service is slow, away, full, or answers 503. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Holdfast } from '../src/index.js';
import { Proxy, refusal } from './support/proxy.js';
import { Service, collect, hasFaultPoints } from './support/service.js';

const QUICK = { minMs: 1, maxMs: 20 };

let service;
let proxy;

before(async () => {
  service = await Service.start();
  proxy = await Proxy.to(service);
});
after(async () => {
  await proxy.end();
  await service.end();
});

async function withClient(options, use) {
  proxy.requests = [];
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
    await client.apply('rec-none').catch(() => {});
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
    proxy.cuts = 1;
    await assert.rejects(client.restore({ snapshot: snapshot.id }), { code: 'connection_lost', attempts: 1 });
    assert.equal((await client.systemInfo()).epoch, 2, 'the restore was done, once');
  }));

test('a slow answer is waited for as long as the timeout allows', () =>
  withClient({ system: 'slow', timeout: 20000 }, async (client) => {
    proxy.delayMs = 150;
    assert.equal((await client.save('agent', 1)).version, 1);
    proxy.delayMs = 60000;
    await assert.rejects(client.save('agent', 2, { timeout: 50 }), { code: 'timeout', retryable: true });
    proxy.delayMs = 0;
    proxy.cut();
    assert.equal((await client.load('agent')).value, 2, 'it had been saved all the same');
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
