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
  /** Requests to come that are kept back until release(), whatever becomes of the client. */
  holds = 0;
  #held = [];
  /** Heads of the requests that came, and their first lines. */
  heads = [];
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

  /** Gives the service what was kept back, as a buffer on the way would; gives the answers. */
  release() {
    return Promise.all(
      this.#held.splice(0).map((kept) => {
        const { client, service } = kept;
        const answer = once(service, 'data');
        service.write(Buffer.concat(kept.parts));
        kept.parts = null;
        return answer.then(([data]) => {
          if (client.destroyed) service.destroy();
          return data.toString('latin1');
        });
      }),
    );
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
    const kept = { client, service, parts: null };
    client.on('close', () => kept.parts || service.destroy());
    service.on('close', () => setTimeout(() => client.destroy(), this.delayMs).unref()); // after what is held back
    client.on('data', (data) => this.#takeRequest(data, client, kept));
    service.on('data', (data) => this.#takeAnswer(data, client));
  }

  #takeRequest(data, client, kept) {
    if (kept.parts) {
      kept.parts.push(data);
      return;
    }
    const line = /^(?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+/.exec(data.toString('latin1'));
    if (line) {
      this.requests.push(line[0]);
      this.heads.push(data.toString('latin1').split('\r\n\r\n')[0]);
    }
    if (line && this.refusals > 0) {
      this.refusals -= 1;
      client.end(this.answer);
      return;
    }
    if (line && this.holds > 0) {
      this.holds -= 1;
      kept.parts = [data];
      this.#held.push(kept);
      return;
    }
    kept.service.write(data);
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

/** A whole answer that could be anybody's. */
export function answerOf(status, type, body, headers = {}) {
  const lines = Object.entries({
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Something\r\n${lines.join('')}\r\n${body}`;
}

/** A refusal as the service gives it, a 503 if nothing else is said. */
export function refusal(code, headers = {}, { status = 503, retryable = true } = {}) {
  const body = JSON.stringify({
    type: `urn:holdfast:problem:${code}`,
    title: 'Not now',
    status,
    detail: 'not now',
    instance: '/',
    code,
    retryable,
    requestId: 'r1',
  });
  return answerOf(status, 'application/problem+json', body, headers);
}
