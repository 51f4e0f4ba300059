// SIGTERM and SIGINT. Heard from the first moment, because a service manager may stop what it has
// just started; the second signal kills, because the first one's drain may hang.

import { EXIT_CODES } from './exit-codes.js';

export const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;
export type StopSignal = (typeof STOP_SIGNALS)[number];
type StopCallback = (signal: StopSignal) => void;

/** Before there is anything to stop. */
let stop: StopCallback = () => process.exit(EXIT_CODES.ok);

export function stopOnSignals(): void {
  for (const signal of STOP_SIGNALS) {
    process.once(signal, () => stop(signal));
  }
}

/** From now on a signal leads here. */
export function setStop(callback: StopCallback): void {
  stop = callback;
}
