/** Import it for a service with a proxy before it that live as long as the tests of the file. */
import { after, before } from 'node:test';
import { Proxy } from './proxy.js';
import { Service } from './service.js';

export let service;
export let proxy;

before(async () => {
  service = await Service.start();
  proxy = await Proxy.to(service);
});
after(async () => {
  await proxy.end();
  await service.end();
});
