// Connections that have something for the guest, in turns: one packet each, then to the end.

import type { Connection } from './connection.js';

export class ReadyList {
  #items: Connection[] = [];
  #head = 0;

  get empty(): boolean {
    return this.#head === this.#items.length;
  }

  /** At the end, unless it is there already. */
  push(connection: Connection): void {
    if (!connection.listed) {
      connection.listed = true;
      this.#items.push(connection);
    }
  }

  shift(): Connection | undefined {
    const first = this.#items[this.#head];
    if (first === undefined) {
      return undefined;
    }
    first.listed = false;
    this.#head++;
    // Half of it is history: each entry is moved once on average.
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }
}
