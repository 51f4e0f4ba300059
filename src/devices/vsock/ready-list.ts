// Connections that have something for the guest, in turns: one packet each, then to the end. A ring
// of places that grows: whoever comes and goes with each packet allocates nothing.

import type { Connection } from './connection.js';

/** A power of two; doubled when more connections than this have something. */
const PLACES_AT_FIRST = 64;

export class ReadyList {
  #places: (Connection | undefined)[] = new Array(PLACES_AT_FIRST).fill(undefined);
  #head = 0;
  #count = 0;

  get empty(): boolean {
    return this.#count === 0;
  }

  /** At the end, unless it is there already. */
  push(connection: Connection): void {
    if (connection.listed) {
      return;
    }
    if (this.#count === this.#places.length) {
      this.#grow();
    }
    connection.listed = true;
    this.#places[(this.#head + this.#count++) & (this.#places.length - 1)] = connection;
  }

  shift(): Connection | undefined {
    const first = this.#places[this.#head];
    if (first === undefined) {
      return undefined;
    }
    this.#places[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#places.length - 1);
    this.#count--;
    first.listed = false;
    return first;
  }

  #grow(): void {
    const inOrder = [...this.#places.slice(this.#head), ...this.#places.slice(0, this.#head)];
    this.#places = [...inOrder, ...new Array(inOrder.length).fill(undefined)];
    this.#head = 0;
  }
}
