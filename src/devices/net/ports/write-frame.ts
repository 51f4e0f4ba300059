// A frame of the card's own, outside the data path: once in a while, and lost if it has to be.

import { writevSync } from 'node:fs';

/** False: the host's end does not take it now, as a wire may lose any frame. */
export function writeFrame(fd: number, ...parts: readonly Uint8Array[]): boolean {
  try {
    writevSync(fd, parts);
    return true;
  } catch {
    return false;
  }
}
