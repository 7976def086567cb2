import { randomUUID } from 'node:crypto';

/**
 * The order of one client's writes, for the header State-Order: a name that nobody else has, and a number that grows
 * with each call. What is sent again carries the number of its call. An attempt that was given up may still lie in a
 * buffer on the way; when it arrives after a newer write, the service knows it by its number and refuses it.
 */
export class Order {
  #writer = randomUUID();
  #number = 0;

  next() {
    this.#number += 1;
    return `${this.#writer}/${this.#number}`;
  }
}
