// A guest's serial console, cut into lines; those of the guest script are picked out.
import { EventEmitter, once } from 'node:events';
import type { Readable } from 'node:stream';

import type { TrackedChild } from './children.js';
import { within } from './children.js';

export interface GuestLine {
  /** Without the leading "GUEST ". */
  readonly text: string;
  /** Host time since the guest was started: guest clocks wander under TCG. */
  readonly atMs: number;
}

/** What a kernel says when the disk or the kernel itself went wrong. */
const TROUBLE =
  /Kernel panic|Oops|BUG:|I\/O error|EXT4-fs error|Call Trace|blocked for more than \d+ sec/;

export class GuestConsole {
  readonly lines: string[] = [];
  readonly guestLines: GuestLine[] = [];
  readonly troubles: string[] = [];
  readonly #events = new EventEmitter();
  readonly #startedMs = performance.now();
  #partial = '';

  constructor(streams: readonly (Readable | null)[]) {
    this.#events.setMaxListeners(0);
    for (const stream of streams) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => this.#take(text));
    }
  }

  #take(text: string): void {
    const pieces = (this.#partial + text).split('\n');
    this.#partial = pieces.pop() ?? '';
    for (const piece of pieces) this.#line(piece.replace(/\r/g, ''));
  }

  #line(line: string): void {
    this.lines.push(line);
    if (TROUBLE.test(line)) {
      this.troubles.push(line);
      this.#events.emit('trouble');
    }
    const text = /GUEST (.*)/.exec(line)?.[1];
    if (text === undefined) return;
    const guestLine = { text, atMs: performance.now() - this.#startedMs };
    this.guestLines.push(guestLine);
    this.#events.emit('guest-line', guestLine);
  }

  onGuestLine(listener: (line: GuestLine) => void): void {
    this.#events.on('guest-line', listener);
  }

  /** Resolves at the first sign of kernel trouble. */
  async troubled(): Promise<void> {
    if (this.troubles.length === 0) await once(this.#events, 'trouble');
  }

  /** Whether the guest says `text` within the time; looks at what it has said before, too. */
  async waitFor(text: string, timeoutMs: number): Promise<boolean> {
    if (this.guestLines.some((line) => line.text === text)) return true;
    const said = new Promise<boolean>((resolve) => {
      this.onGuestLine((line) => {
        if (line.text === text) resolve(true);
      });
    });
    return (await within(said, timeoutMs)) ?? false;
  }

  tail(lineCount: number): string[] {
    return [...this.lines, this.#partial].filter((line) => line !== '').slice(-lineCount);
  }
}

/** A running guest, whatever runs it. */
export interface Machine {
  readonly console: GuestConsole;
  readonly child: TrackedChild;
  /** What runs it, in words a report can use. */
  readonly title: string;
}
