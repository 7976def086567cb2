import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Holdfast, HoldfastError, Saver } from '../src/index.js';
import { Service, collect } from './support/service.js';

let service;
let client;

before(async () => {
  service = await Service.start();
});
after(() => service.end());

/** A system of its own for each test. */
async function fresh(name) {
  client?.close();
  client = await Holdfast.connect(service.url, { system: name });
  return client;
}
after(() => client.close());

test('what is saved is what is loaded: JSON, text and bytes', async () => {
  await fresh('kinds');
  const receipt = await client.save('json', { list: [1, 'ä', null] });
  assert.deepEqual([receipt.version, receipt.unchanged, receipt.etag.startsWith('"1-')], [1, false, true]);
  await client.save('text', 'two\nlines', { contentType: 'text/plain' });
  await client.save('bytes', new Uint8Array([0, 255, 10]));
  await client.save('a:b.c_d-e', 7);
  assert.deepEqual((await client.load('json')).value, { list: [1, 'ä', null] });
  assert.equal((await client.load('text')).bytes.toString(), 'two\nlines');
  assert.deepEqual([...(await client.load('bytes')).value], [0, 255, 10]);
  assert.equal((await client.load('a:b.c_d-e')).value, 7);
  assert.equal((await client.save('json', { list: [1, 'ä', null] })).unchanged, true);
  await assert.rejects(async () => client.save('json', undefined), TypeError);
});

test('the past is read by version, time, sequence and snapshot', async () => {
  await fresh('past');
  const first = await client.save('agent', { step: 1 });
  const snapshot = await client.snapshot({ label: 'early' });
  const second = await client.save('agent', { step: 2 });
  assert.equal((await client.load('agent', { version: 1 })).value.step, 1);
  assert.equal((await client.load('agent', { sequence: first.sequence })).value.step, 1);
  assert.equal((await client.load('agent', { snapshot: snapshot.id })).value.step, 1);
  assert.equal((await client.load('agent', { at: new Date(second.committedAt) })).value.step, 2);
  const versions = await collect(client.history('agent', { limit: 1 }));
  assert.deepEqual(
    versions.map((version) => version.version),
    [2, 1],
  );
  assert.equal(await client.loadIfAny('nobody'), null);
  await assert.rejects(client.load('nobody'), { name: 'HoldfastError', code: 'not_found', status: 404 });
});

test('a failure tells code, status, what to do and the request', async () => {
  await fresh('failures');
  const { etag } = await client.save('agent', 1);
  await client.save('agent', 2, { ifMatch: etag });
  const error = await client.save('agent', 3, { ifMatch: etag }).catch((reason) => reason);
  assert.ok(error instanceof HoldfastError);
  assert.deepEqual([error.code, error.status, error.retryable], ['precondition_failed', 412, false]);
  assert.match(error.currentEtag, /^"2-/);
  assert.match(error.requestId, /^[0-9a-f]+$/);
  assert.match(error.detail, /agent/);
  await assert.rejects(client.save('agent', 4, { ifNoneMatch: '*' }), { code: 'precondition_failed' });
  await assert.rejects(client.save('no name', 4), { code: 'invalid_request' });
});

test('many states are saved together or not at all', async () => {
  await fresh('batch');
  const items = [
    { component: 'json', state: { reward: 12.5 } },
    { component: 'lines', state: 'one\ntwo', contentType: 'text/plain' },
    { component: 'pretty', state: '{\n "a": 1\n}', contentType: 'application/json' },
    { component: 'bytes', state: Buffer.from([1, 2]) },
  ];
  const { results } = await client.saveMany(items, { idempotencyKey: 'step-1' });
  assert.deepEqual(
    results.map((result) => result.component),
    ['json', 'lines', 'pretty', 'bytes'],
  );
  const again = await client.saveMany(items, { idempotencyKey: 'step-1' });
  assert.deepEqual(
    again.results.map((result) => result.sequence),
    results.map((result) => result.sequence),
  );
  assert.equal((await client.load('pretty')).bytes.toString(), '{\n "a": 1\n}');
  assert.equal((await client.load('lines')).contentType, 'text/plain');
  await assert.rejects(client.saveMany([{ component: 'json', state: 1 }], { idempotencyKey: 'step-1' }), {
    code: 'idempotency_key_reused',
  });
  const bad = [
    { component: 'json', state: 9 },
    { component: 'bytes', state: 9, ifMatch: '"7-0000000000000000"' },
  ];
  await assert.rejects(client.saveMany(bad), { code: 'precondition_failed', component: 'bytes' });
  assert.deepEqual((await client.load('json')).value, { reward: 12.5 });
  assert.throws(() => client.saveMany([]), TypeError);
});

test('the states of a batch have conditions and events', async () => {
  await fresh('conditions');
  const first = { component: 'agent', state: 1, ifNoneMatch: '*', event: 'begin' };
  await client.saveMany([first]);
  assert.equal((await collect(client.history('agent')))[0].event, 'begin');
  await assert.rejects(client.saveMany([{ ...first, state: 2 }]), { code: 'precondition_failed' });
});

test('what has no method of its own is called by its path', async () => {
  await fresh('anything');
  await client.save('agent', { step: 1, memory: [] });
  const headers = { 'Content-Type': 'application/merge-patch+json' };
  const body = Buffer.from('{"step":2}');
  const patched = await client.call('PATCH', 'components/agent/state', { headers, body });
  assert.deepEqual([patched.status, JSON.parse(patched.body).version], [200, 2]);
  assert.deepEqual((await client.load('agent')).value, { step: 2, memory: [] });
  const systems = JSON.parse((await client.call('GET', '/v1/systems')).body).systems.map(({ name }) => name);
  assert.ok(systems.includes(client.system), `${systems}`);
  const listed = await client.call('GET', 'components', { query: { health: 'failed' } });
  assert.deepEqual(JSON.parse(listed.body).components, []);
  await assert.rejects(client.call('GET', 'components/nobody'), { code: 'not_found' });
  await assert.rejects(client.call('POST', '/v1/systems', { json: { name: 'no name' } }), { code: 'invalid_request' });
});

test('a hydration of some brings along what they need, if that is wanted', async () => {
  await fresh('needs');
  await client.register('agent', { dependsOn: ['model'] });
  for (const name of ['agent', 'model', 'spare']) await client.save(name, { name });
  const order = [];
  await client.hydrate((name) => void order.push(name), { components: ['agent'], includeDependencies: true });
  assert.deepEqual(order, ['model', 'agent']);
});

test('a hydration goes through the waves, reports, and leaves no component out', async () => {
  await fresh('hydration');
  await client.register('model');
  await client.register('agent', { dependsOn: ['model'], kind: 'agent' });
  await client.register('judge', { dependsOn: ['agent'] });
  for (const name of ['judge', 'agent', 'model', 'spare']) await client.save(name, { name });
  const order = [];
  const result = await client.hydrate(
    async (name, state, context) => {
      order.push(name);
      assert.deepEqual(state.value, { name });
      if (name === 'agent') throw new Error('no room for it');
      if (name === 'judge') assert.deepEqual(context.failed, ['agent']);
      return name === 'spare' ? { status: 'fresh', detail: 'not wanted' } : undefined;
    },
    { reason: 'a test' },
  );
  assert.ok(order.indexOf('model') < order.indexOf('agent') && order.indexOf('agent') < order.indexOf('judge'));
  assert.deepEqual([result.restored.sort(), result.fresh, result.failed], [['judge', 'model'], ['spare'], ['agent']]);
  assert.deepEqual([result.recovery.status, result.recovery.reason], ['failed', 'a test']);
  const parts = Object.fromEntries(result.recovery.waves.flat().map((part) => [part.component, part]));
  assert.equal(parts.agent.detail, 'no room for it');
  assert.equal(parts.spare.detail, 'not wanted');
  assert.ok(Number.isInteger(parts.model.durationMs));

  const asked = [];
  const stopped = await client.hydrate(
    (name) => {
      asked.push(name);
      if (name === 'model') throw new Error('gone');
    },
    { stopOnFailure: true, components: ['model', 'agent'] },
  );
  assert.deepEqual([asked, stopped.failed], [['model'], ['model', 'agent']]);
});

test('a hydration gives the version of its plan, also when another one writes meanwhile', async () => {
  await fresh('overtaken');
  await client.register('second', { dependsOn: ['first'] });
  await client.saveMany([
    { component: 'first', state: 1 },
    { component: 'second', state: 1 },
  ]);
  const seen = {};
  await client.hydrate(async (name, state) => {
    seen[name] = state.value;
    if (name === 'first') await client.save('second', 2);
  });
  assert.deepEqual(seen, { first: 1, second: 1 });
});

test('what has hydrated never writes over a restore unseen, and goes on after it has hydrated again', async () => {
  await fresh('fenced');
  await client.save('agent', 1);
  assert.equal(client.epoch, null);
  const { id } = await client.snapshot();
  await client.hydrate(() => 'restored');
  assert.equal(client.epoch, 1);
  await client.save('agent', 2);
  const saver = new Saver(client);
  const operator = new Holdfast(service.url, { system: 'fenced' });
  await operator.restore({ snapshot: id });
  const stale = { code: 'stale_epoch', epoch: 2 };
  await assert.rejects(client.save('agent', 3), stale);
  await assert.rejects(client.saveMany([{ component: 'agent', state: 3 }]), stale);
  await assert.rejects(client.deleteComponent('agent'), stale);
  await assert.rejects(saver.save('agent', 3), stale);
  assert.equal((await client.load('agent')).value, 1);
  await client.save('note', 3, { epoch: null });
  await client.hydrate(() => 'restored');
  assert.deepEqual([client.epoch, (await client.save('agent', 4)).epoch], [2, 2]);

  const again = await client.restore({ snapshot: id });
  await client.bringUp(again, () => 'restored');
  assert.deepEqual([client.epoch, (await client.save('agent', 5)).epoch], [3, 3]);
  await saver.close();
  operator.close();
});

test('a system is deleted by force only when that is asked for', async () => {
  const asked = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url);
    response.writeHead(204, { 'X-Request-Id': 'x' }).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const other = new Holdfast(`http://127.0.0.1:${server.address().port}`, { system: 'damaged' });
  await other.deleteSystem();
  await other.deleteSystem({ force: true });
  assert.deepEqual(asked, ['/v1/systems/damaged?confirm=damaged', '/v1/systems/damaged?confirm=damaged&force=true']);
  other.close();
  await new Promise((resolve) => server.close(resolve));
});

test('snapshots are listed, pinned, read back and restored by a plan', async () => {
  await fresh('snapshots');
  await client.save('agent', { step: 1 });
  const early = await client.snapshot({ label: 'early' });
  await client.save('agent', { step: 2 });
  await client.save('late', 1);
  const late = await client.snapshot({ kind: 'incremental' });
  assert.deepEqual(
    (await collect(client.snapshots({ limit: 1 }))).map(({ id }) => id),
    [late.id, early.id],
  );
  assert.equal((await client.changeSnapshot(early.id, { pinned: true })).pinned, true);
  assert.equal((await client.snapshotInfo()).id, late.id);
  assert.equal((await client.validate(early.id, { deep: true })).status, 'valid');
  const diff = await client.diff(early.id);
  assert.deepEqual(
    diff.changes.map(({ component, change }) => [component, change]),
    [
      ['agent', 'changed'],
      ['late', 'added'],
    ],
  );
  assert.deepEqual((await client.diff(early.id, 'now', { component: 'agent' })).patch, [
    { op: 'replace', path: '/step', value: 2 },
  ]);

  const plan = await client.planRestore({ snapshot: early.id, reason: 'bad reward' });
  assert.deepEqual([plan.status, plan.removed, plan.dataLoss.versions], ['planned', ['late'], 2]);
  await client.save('agent', { step: 3 });
  await assert.rejects(client.apply(plan), { code: 'plan_changed' });
  const done = await client.apply(plan.id, { force: true });
  assert.deepEqual([done.status, done.epoch], ['applied', 2]);
  assert.equal((await client.load('agent')).value.step, 1);
  await assert.rejects(client.save('agent', { step: 4 }, { epoch: 1 }), { code: 'stale_epoch', epoch: 2 });
  assert.equal((await collect(client.recoveries()))[0].id, plan.id);
});

test('a fork lives on its own', async () => {
  await fresh('origin');
  await client.save('agent', 1);
  const made = await client.fork('what-if', { description: 'a try' });
  assert.deepEqual([made.name, made.components], ['what-if', 1]);
  const other = new Holdfast(service.url, { system: 'what-if' });
  await other.save('agent', 2);
  assert.equal((await client.load('agent')).value, 1);
  await other.deleteSystem();
  assert.equal(await other.systemIfAny(), null);
  other.close();
});

test('components, heartbeats and status', async () => {
  await fresh('health');
  await client.register('agent', { kind: 'agent', heartbeatIntervalMs: 60000 });
  await client.heartbeat('agent', { health: 0.5, metrics: { judgments: 3 } });
  assert.equal((await client.component('agent')).health, 0.5);
  assert.deepEqual(
    (await collect(client.components({ kind: 'agent' }))).map(({ name }) => name),
    ['agent'],
  );
  assert.equal((await client.status()).metricTotals.judgments, 3);
  await client.configure({ backupIntervalMs: 60000 });
  assert.equal((await client.systemInfo()).backupIntervalMs, 60000);
  await client.save('agent', 1);
  await client.deleteComponent('agent');
  assert.equal(await client.loadIfAny('agent'), null);
});

test('url, token and system come from the environment where they are not given', async () => {
  const before = { ...process.env };
  Object.assign(process.env, { HOLDFAST_URL: `${service.url}/`, HOLDFAST_SYSTEM: 'environment' });
  try {
    const other = await Holdfast.connect();
    assert.deepEqual([other.url, other.system], [service.url, 'environment']);
    assert.equal((await other.save('agent', 1)).system, 'environment');
    other.close();
  } finally {
    process.env = before;
  }
  assert.throws(() => new Holdfast('ftp://127.0.0.1'), TypeError);
});
