/** Something between client and service that behaves badly on demand. */
import net from 'node:net';
import { once } from 'node:events';

export class Proxy {
  #server;
  #sockets = new Set();
  /** Requests to come that are answered with `answer` instead. */
  refusals = 0;
  answer = refusal('overloaded', { 'Retry-After': 0 });
  /** Answers to come that are cut off before their first byte. */
  cuts = 0;
  /** Answers that are held back so long (ms). */
  delayMs = 0;
  /** Bytes in an answer's body to change: [from, to]. */
  damage = null;
  /** First lines of the requests that came. */
  requests = [];
  connections = 0;

  static async to(service) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((client) => proxy.#connect(client, service.port));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** Cuts what is open now. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  async end() {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connect(client, port) {
    this.connections += 1;
    const service = net.connect(port, '127.0.0.1');
    for (const socket of [client, service]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    }
    client.on('close', () => service.destroy());
    service.on('close', () => setTimeout(() => client.destroy(), this.delayMs).unref()); // after what is held back
    client.on('data', (data) => this.#takeRequest(data, client, service));
    service.on('data', (data) => this.#takeAnswer(data, client));
  }

  #takeRequest(data, client, service) {
    const line = /^(?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+/.exec(data.toString('latin1'));
    if (line) this.requests.push(line[0]);
    if (line && this.refusals > 0) {
      this.refusals -= 1;
      client.end(this.answer);
      return;
    }
    service.write(data);
  }

  #takeAnswer(data, client) {
    if (this.cuts > 0) {
      this.cuts -= 1;
      client.destroy();
      return;
    }
    if (this.damage) {
      const [from, to] = this.damage;
      data = Buffer.from(data.toString('latin1').replace(from, to), 'latin1');
    }
    setTimeout(() => client.destroyed || client.write(data), this.delayMs).unref();
  }
}

/** A 503 as the service gives it. */
export function refusal(code, headers = {}) {
  const body = JSON.stringify({
    type: `urn:holdfast:problem:${code}`,
    title: 'Not now',
    status: 503,
    detail: 'not now',
    instance: '/',
    code,
    retryable: true,
    requestId: 'r1',
  });
  const lines = Object.entries({
    'Content-Type': 'application/problem+json',
    'Content-Length': body.length,
    Connection: 'close',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 503 Service Unavailable\r\n${lines.join('')}\r\n${body}`;
}
