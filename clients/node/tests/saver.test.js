import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { Holdfast, Saver } from '../src/index.js';
import { proxy, service } from './support/proxied.js';
import { answerOf, refusal } from './support/proxy.js';
import { Service, collect, until } from './support/service.js';

const QUICK = { minMs: 1, maxMs: 20, attempts: 2 };
const SOON = { retryMinMs: 5, retryMaxMs: 50 };

async function withSaver(system, { retry = QUICK, ...options }, use) {
  const client = new Holdfast(proxy.url, { system, retry });
  const saver = new Saver(client, { ...SOON, ...options });
  try {
    await use(saver, client);
  } finally {
    proxy.refusals = 0;
    await saver.close().catch(() => {});
    client.close();
  }
}

async function versions(client, component) {
  return (await collect(client.history(component))).length;
}

test('rapid saves of a component become one, and all of them get its receipt', () =>
  withSaver('rapid', { coalesceMs: 600000 }, async (saver, client) => {
    const saves = [1, 2, 3, 4, 5].map((step) => saver.save('agent', { step }));
    await saver.flush();
    const receipts = await Promise.all(saves);
    assert.deepEqual(
      receipts.map((receipt) => receipt.version),
      [1, 1, 1, 1, 1],
    );
    assert.equal((await client.load('agent')).value.step, 5);
    assert.equal(await versions(client, 'agent'), 1);
  }));

test('what did not change is not sent, unless it is forced', () =>
  withSaver('same', { coalesceMs: 0 }, async (saver) => {
    await saver.save('agent', { step: 1 });
    proxy.requests = [];
    assert.deepEqual([(await saver.save('agent', { step: 1 })).unchanged, proxy.requests.length], [true, 0]);
    await saver.save('agent', { step: 1 }, { force: true });
    assert.equal(proxy.requests.length, 1);
    const both = [saver.save('agent', { step: 2 }), saver.save('agent', { step: 1 })];
    assert.deepEqual((await Promise.all(both)).at(-1).hash, (await saver.save('agent', { step: 1 })).hash);
  }));

test('a state that waits for room is not passed by a newer one of its component', () =>
  withSaver('line', { coalesceMs: 0, maxQueuedBytes: 80, concurrency: 1 }, async (saver, client) => {
    const long = 'x'.repeat(40);
    const saves = [
      saver.save('on-its-way', { long }),
      saver.save('waiting', { long }),
      saver.save('agent', { step: 1, long }),
      saver.save('agent', { step: 2 }),
      saver.save('other', { step: 3 }),
    ];
    await Promise.all(saves);
    assert.equal((await client.load('agent')).value.step, 2);
  }));

test('a state that is on its way is followed by the newer one, in this order', () =>
  withSaver('order', { coalesceMs: 0 }, async (saver, client) => {
    proxy.delayMs = 50;
    const all = [];
    for (let step = 1; step <= 5; step += 1) {
      all.push(saver.save('agent', { step }));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Promise.all(all);
    proxy.delayMs = 0;
    assert.equal((await client.load('agent')).value.step, 5);
  }));

test('what is changed after a save is not in it', () =>
  withSaver('copy', { coalesceMs: 30 }, async (saver, client) => {
    const state = { step: 1 };
    const saving = saver.save('agent', state);
    state.step = 2;
    await saving;
    assert.equal((await client.load('agent')).value.step, 1);
  }));

test('a full queue waits, gives up the oldest, or refuses', async () => {
  const full = { maxQueued: 2, coalesceMs: 0, concurrency: 1 };
  proxy.answer = refusal('overloaded');
  await withSaver('fail', { ...full, policy: 'fail' }, async (saver) => {
    proxy.refusals = 1e9;
    const kept = ['a', 'b', 'c'].map((name) => saver.save(name, 1));
    await assert.rejects(saver.save('d', 1), { code: 'queue_full', retryable: true });
    const newer = saver.save('c', 2);
    proxy.refusals = 0;
    await Promise.all([...kept, newer]);
  });
  await withSaver('drop', { ...full, policy: 'drop-oldest' }, async (saver, client) => {
    proxy.refusals = 1e9;
    const dropped = [];
    saver.on('dropped', ({ component }) => dropped.push(component));
    const saves = ['a', 'b', 'c', 'd'].map((name) => saver.save(name, 1));
    await assert.rejects(saves[1], { code: 'dropped' });
    proxy.refusals = 0;
    await Promise.all([saves[0], saves[2], saves[3]]);
    assert.deepEqual(dropped, ['b']);
    assert.equal(await client.loadIfAny('b'), null);
  });
  await withSaver('block', { ...full, policy: 'block' }, async (saver) => {
    proxy.refusals = 1e9;
    const saves = ['a', 'b', 'c'].map((name) => saver.enqueue(name, 1));
    await Promise.all(saves);
    let entered = false;
    const waiting = saver.save('d', 1).then(() => {
      entered = true;
    });
    const control = new AbortController();
    const impatient = saver.enqueue('e', 1, { signal: control.signal });
    control.abort();
    await assert.rejects(impatient, { name: 'AbortError' });
    await once(saver, 'retrying');
    assert.equal(entered, false);
    proxy.refusals = 0;
    await waiting;
  });
  await withSaver('bytes', { maxQueuedBytes: 100, policy: 'fail', coalesceMs: 1e6 }, async (saver) => {
    await saver.enqueue('large', 'x'.repeat(500));
    await assert.rejects(saver.enqueue('more', 'y'), { code: 'queue_full' });
  });
});

test('nothing that was given is lost when the service is killed in the middle', async () => {
  const mortal = await Service.start();
  const client = new Holdfast(mortal.url, { system: 'killed', retry: QUICK });
  const saver = new Saver(client, { ...SOON, coalesceMs: 0 });
  const acknowledged = {};
  saver.on('saved', (receipt) => {
    acknowledged[receipt.component] = Math.max(acknowledged[receipt.component] ?? 0, receipt.version);
  });
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (let step = 1; step <= 60; step += 1) {
    for (const name of names) await saver.enqueue(name, { step });
    if (step === 20 || step === 40) {
      const killed = mortal.kill();
      await new Promise((resolve) => setTimeout(resolve, 5));
      await killed;
      const waiting = mortal.start();
      await saver.enqueue('a', { step: 'while it was away' });
      await waiting;
    } else {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  await saver.flush();
  for (const name of names) {
    const state = await client.load(name);
    assert.equal(state.value.step, 60);
    assert.ok(state.version >= acknowledged[name], `${name}: ${state.version} after ${acknowledged[name]}`);
  }
  await saver.close();
  client.close();
  await mortal.end();
});

test('after a restore nothing is overwritten until the process has its states', () =>
  withSaver('fenced', { coalesceMs: 0 }, async (saver, client) => {
    await saver.save('agent', { step: 1 });
    const snapshot = await client.snapshot();
    await saver.save('agent', { step: 2 });
    await client.restore({ snapshot: snapshot.id });
    const told = once(saver, 'epoch');
    await assert.rejects(saver.save('agent', { step: 3 }), { code: 'stale_epoch' });
    const [{ epoch }] = await told;
    assert.deepEqual([epoch, saver.epoch], [2, 1]);
    await assert.rejects(saver.save('other', 1), { code: 'stale_epoch' });
    assert.equal((await client.load('agent')).value.step, 1);
    saver.resume(epoch);
    saver.remember(await client.load('agent'));
    assert.equal((await saver.save('agent', { step: 1 })).unchanged, true);
    assert.equal((await saver.save('agent', { step: 4 })).epoch, 2);
  }));

test('what was given before a restore is not saved after it', () =>
  withSaver('before', { coalesceMs: 0, concurrency: 1, maxQueued: 1 }, async (saver, client) => {
    await saver.save('agent', { step: 1 });
    const snapshot = await client.snapshot();
    proxy.answer = refusal('overloaded');
    proxy.refusals = 1e9;
    const refused = ['on its way', 'queued', 'waits for room'].map((name, index) =>
      assert.rejects(saver.save(['agent', 'b', 'c'][index], { name }), { code: 'stale_epoch' }),
    );
    await once(saver, 'retrying');
    const other = new Holdfast(service.url, { system: 'before' });
    const { epoch } = await other.restore({ snapshot: snapshot.id });
    other.close();
    saver.resume(epoch);
    proxy.refusals = 0;
    await Promise.all(refused);
    await saver.flush();
    assert.deepEqual(
      (await collect(client.components())).map(({ name, version }) => [name, version]),
      [['agent', 1]],
    );
    saver.remember({ component: 'agent', hash: 'sha256:x', epoch: epoch + 1 });
    assert.equal(saver.epoch, epoch, 'what else the process has is of the epoch before');
  }));

test('storage that is full is waited for', () =>
  withSaver('full', { coalesceMs: 0 }, async (saver) => {
    proxy.answer = refusal('storage_full', {}, { status: 507 });
    proxy.refusals = 3;
    const told = once(saver, 'retrying');
    assert.equal((await saver.save('agent', 1)).version, 1);
    assert.equal((await told)[0].error.status, 507);
  }));

test("no state is given up because of an answer that is not the service's", () =>
  withSaver('impostor', { coalesceMs: 0 }, async (saver, client) => {
    const failures = [];
    saver.on('failed', ({ error }) => failures.push(error.message));
    const answers = [
      answerOf(200, 'text/html', '<html>'),
      answerOf(200, 'application/json', '{}'),
      answerOf(404, 'text/html', '<html>'),
      answerOf(401, 'application/json', '{"code":"forbidden"}'),
      answerOf(302, 'text/html', '', { Location: '/' }),
    ];
    for (const [index, answer] of answers.entries()) {
      Object.assign(proxy, { answer, refusals: 3 });
      assert.equal((await saver.save('agent', { index })).version, index + 1, answer);
    }
    assert.deepEqual([failures, (await client.load('agent')).value.index], [[], answers.length - 1]);
  }));

test('Retry-After is waited for between its calls too, also when another save succeeds meanwhile', () =>
  withSaver('asked', { coalesceMs: 0, retry: false }, async (saver) => {
    const began = Date.now();
    proxy.delayMs = 100;
    const other = saver.save('other', 1);
    await until(() => proxy.requests.some((line) => line.includes('asked/components/other')));
    proxy.answer = refusal('overloaded', { 'Retry-After': 1 });
    proxy.refusals = 1;
    const told = once(saver, 'retrying');
    const saving = saver.save('agent', 1);
    assert.ok((await told)[0].inMs >= 1000);
    await other;
    proxy.delayMs = 0;
    await saving;
    assert.ok(Date.now() - began >= 1000, 'it came back before Retry-After'); // a lower bound holds on any machine
  }));

test('superseded means that a later write of the client is stored: nothing is sent again', () =>
  withSaver('superseded', { coalesceMs: 0 }, async (saver, client) => {
    assert.equal((await saver.save('agent', { step: 1 })).superseded, undefined);
    await client.save('agent', { step: 3 });
    proxy.answer = refusal('superseded', {}, { status: 409, retryable: false });
    proxy.refusals = 1;
    proxy.requests = [];
    const told = once(saver, 'saved');
    const receipt = await saver.save('agent', { step: 2 });
    assert.deepEqual([receipt.superseded, receipt.component, receipt.version], [true, 'agent', 0]);
    assert.equal((await told)[0], receipt);
    await saver.flush();
    assert.deepEqual([proxy.requests.length, (await client.load('agent')).value.step], [1, 3]);
    assert.equal((await saver.save('agent', { step: 1 })).version, 3, 'what is stored now is not known: it is sent');
  }));

test('what was saved before something unsure is sent again', () =>
  withSaver('unsure', { coalesceMs: 0, retry: false }, async (saver, client) => {
    await saver.save('agent', { step: 1 });
    proxy.cuts = 1; // it is stored, and nobody is told
    const told = once(saver, 'retrying');
    const unsure = saver.save('agent', { step: 2 });
    await told;
    const back = saver.save('agent', { step: 1 });
    await Promise.all([unsure, back]);
    assert.equal((await client.load('agent')).value.step, 1);
  }));

test('a state is not given up for a newer one of its own component', () =>
  withSaver('own', { coalesceMs: 1e6, maxQueuedBytes: 100, policy: 'drop-oldest' }, async (saver, client) => {
    const first = saver.save('a', 'x'.repeat(30), { event: 'grown' });
    await saver.enqueue('b', 'y'.repeat(30));
    const dropped = once(saver, 'dropped');
    const second = saver.save('a', 'x'.repeat(80));
    assert.equal((await dropped)[0].component, 'b');
    await saver.flush();
    assert.deepEqual(await first, await second);
    assert.equal((await client.load('a')).value.length, 80);
  }));

test('a clock that is set back holds up nothing', () =>
  withSaver('clock', { coalesceMs: 0 }, async (saver) => {
    const { now } = Date;
    proxy.answer = refusal('overloaded');
    proxy.refusals = 3;
    const told = once(saver, 'retrying');
    const saving = saver.save('agent', 1);
    await told;
    try {
      Date.now = () => now() - 1e9;
      assert.equal((await saving).version, 1);
    } finally {
      Date.now = now;
    }
  }));

test('who waits in flush() when the saver closes in vain is told', () =>
  withSaver('waiting', { coalesceMs: 0 }, async (saver) => {
    proxy.answer = refusal('overloaded');
    proxy.refusals = 1e9;
    await saver.enqueue('agent', 1);
    const flushing = assert.rejects(saver.flush(), { code: 'not_saved' });
    await assert.rejects(saver.close({ timeoutMs: 50 }), { code: 'not_saved' });
    await flushing;
    await saver.flush(); // there is nothing any more
  }));

test('what the service refuses is told and not tried for ever', () =>
  withSaver('refused', { coalesceMs: 0 }, async (saver) => {
    const told = once(saver, 'failed');
    await assert.rejects(saver.save('no name', 1), { code: 'invalid_request' });
    assert.equal((await told)[0].component, 'no name');
    assert.equal((await saver.save('agent', 1)).version, 1);
  }));

test('periodic saves go on, ask a last time at the end, and survive a callback that throws', () =>
  withSaver('periodic', { coalesceMs: 0 }, async (saver, client) => {
    let calls = 0;
    const failures = [];
    saver.on('failed', (failure) => failures.push(failure.error.message));
    saver.every(5, 'agent', async () => {
      calls += 1;
      if (calls === 2) throw new Error('not now');
      return { calls };
    });
    const stop = saver.every(5, 'other', () => 1);
    await until(() => calls >= 4);
    stop();
    await saver.close();
    assert.equal((await client.load('agent')).value.calls, calls);
    assert.deepEqual(failures, ['not now']);
    await assert.rejects(saver.save('agent', 1), { code: 'closed' });
  }));

test('close gives up in time, and says what was not saved', () =>
  withSaver('given-up', { coalesceMs: 0 }, async (saver) => {
    proxy.answer = refusal('overloaded');
    proxy.refusals = 1e9;
    const saving = assert.rejects(saver.save('agent', 1), { code: 'not_saved' });
    saver.every(1e6, 'other', () => 2);
    await assert.rejects(saver.close({ timeoutMs: 100 }), { code: 'not_saved' });
    await saving;
  }));

/** Runs a program with a Saver `saver` on a client `client`; gives its exit status and what it wrote. */
async function runProgram(system, options, program) {
  const whole = `
    import { Holdfast, Saver } from '${new URL('../src/index.js', import.meta.url)}';
    const client = new Holdfast('${proxy.url}', { system: '${system}', retry: { attempts: 2, minMs: 1, maxMs: 2 } });
    const saver = new Saver(client, ${JSON.stringify(options)});
    ${program}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', whole], { stdio: ['ignore', 'pipe', 'inherit'] });
  const output = collect(child.stdout);
  const [status] = await once(child, 'exit');
  return { status, output: Buffer.concat(await output).toString() };
}

test('a process that has nothing left to do saves before it ends, once more if it then goes on', () =>
  withSaver('exit', {}, async (_, client) => {
    const { status, output } = await runProgram(
      'exit',
      { coalesceMs: 60000 },
      `saver.enqueue('queued', 1);
      let asked = 0;
      saver.every(60000, 'periodic', () => (asked += 1));
      process.once('beforeExit', () => setTimeout(() => saver.enqueue('late', 3), 20));
      process.on('exit', () => console.log(asked));`,
    );
    assert.deepEqual([status, output], [0, '2\n']);
    const saved = await Promise.all(['queued', 'periodic', 'late'].map((name) => client.load(name)));
    assert.deepEqual(
      saved.map(({ value }) => value),
      [1, 2, 3],
    );
  }));

test('a process that waits for its saves goes on, whatever its listeners throw', () =>
  withSaver('waits', {}, async (_, client) => {
    const { status, output } = await runProgram(
      'waits',
      {},
      `process.on('uncaughtException', (error) => console.log(error.message));
      saver.on('saved', ({ version }) => { if (version === 2) throw new Error('mine'); });
      for (let step = 1; step <= 3; step += 1) console.log((await saver.save('agent', { step })).version);
      saver.enqueue('agent', { step: 4 });
      await saver.flush();`,
    );
    assert.equal(status, 0);
    assert.deepEqual(output.trim().split('\n').sort(), ['1', '2', '3', 'mine']);
    assert.deepEqual([(await client.load('agent')).value.step, await versions(client, 'agent')], [4, 4]);
  }));

test('a process that only queued does not wait for ever', () =>
  withSaver('away', {}, async () => {
    Object.assign(proxy, { answer: refusal('overloaded'), refusals: 1e9 });
    const { status, output } = await runProgram(
      'away',
      { closeTimeoutMs: 100 },
      `saver.on('failed', ({ error }) => console.log(error.code));
      saver.enqueue('agent', 1);`,
    );
    assert.deepEqual([status, output], [0, 'not_saved\n']);
  }));
