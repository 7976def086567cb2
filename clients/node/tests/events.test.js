import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Holdfast } from '../src/index.js';
import { parseEvents } from '../src/sse.js';
import { Proxy } from './support/proxy.js';
import { Service, collect, until } from './support/service.js';

let service;
let proxy;

before(async () => {
  service = await Service.start('--stream-heartbeat', '200');
  proxy = await Proxy.to(service);
});
after(async () => {
  await proxy.end();
  await service.end();
});

async function* chunksOf(...texts) {
  for (const text of texts) yield Buffer.from(text, 'latin1');
}

test('blocks are put together from any chunks', async () => {
  const text = 'retry: 2000\nid: 7\n\n: keep-alive\n\r\nid: 8\nevent: a\ndata: {"x":\ndata:1}\n\nid: 9\ndata: half';
  const whole = await collect(parseEvents(chunksOf(text)));
  assert.deepEqual(whole, [{ retry: '2000', id: '7' }, {}, { id: '8', event: 'a', data: '{"x":\n1}' }]);
  assert.deepEqual(await collect(parseEvents(chunksOf(...text))), whole);
});

test('every event comes once and in order, across lost connections and a killed service', async () => {
  const client = new Holdfast(proxy.url, { system: 'stream' });
  await client.save('agent', 0);
  const control = new AbortController();
  const names = [];
  const ids = [];
  const follow = (async () => {
    for await (const event of client.events({ after: 0, signal: control.signal })) {
      if (event.type !== 'state.event') continue;
      names.push(event.data.event ?? event.text);
      ids.push(event.id);
      if (names.length === 9) return;
    }
  })();
  for (let round = 1; round <= 9; round += 1) {
    await client.save('agent', round, { event: `step-${round}` });
    if (round === 3) proxy.cut();
    if (round === 6) {
      await waitForEvents(client, round);
      await service.kill();
      await service.start();
    }
  }
  await follow;
  assert.equal(names.length, 9);
  assert.deepEqual(
    ids,
    [...new Set(ids)].sort((a, b) => a - b),
  );
  for (let round = 1; round <= 9; round += 1) assert.match(names[round - 1], new RegExp(`step-${round}`));
  control.abort();
  client.close();
});

/** An event is written soon after its save, not with it: a kill in between loses the event. */
async function waitForEvents(client, count) {
  let seen = 0;
  for await (const event of client.events({ after: 0 })) {
    if (event.type === 'state.event' && (seen += 1) === count) return;
  }
}

test('a stream that shows no sign of life is opened again', async () => {
  const client = new Holdfast(proxy.url, { system: 'stream' });
  proxy.requests = [];
  proxy.delayMs = 60000;
  setTimeout(() => {
    proxy.delayMs = 0;
  }, 300);
  const [event] = await collect(client.events({ after: 0, idleTimeout: 1500 }), 1);
  assert.equal(event.system, 'stream');
  client.close();
});

test('a stream ends with its system, its signal, or a failure that stays', async () => {
  const client = new Holdfast(service.url, { system: 'gone' });
  await client.save('agent', 1);
  const types = [];
  const ending = (async () => {
    for await (const event of client.events({ after: 0 })) types.push(event.type);
  })();
  await until(() => types.length > 0);
  await client.deleteSystem();
  await ending;
  assert.equal(types.at(-1), 'system.deleted');
  await assert.rejects(collect(client.events()), { code: 'not_found' });

  await client.save('agent', 1);
  const control = new AbortController();
  const ended = collect(client.events({ signal: control.signal }));
  setTimeout(() => control.abort(), 100);
  await assert.rejects(ended, { name: 'AbortError' });
  client.close();
});
