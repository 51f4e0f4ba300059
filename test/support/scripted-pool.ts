// Real worker threads around the scripted handler.

import type { Test } from 'tap';
import type { DataHalf } from '../../src/core/device.js';
import {
  WorkerPool,
  type WorkerPoolEvents,
  type WorkerPoolOptions,
} from '../../src/core/worker/worker-pool.js';
import type { ScriptedOptions } from '../fixtures/scripted-handler.js';

export function scriptedDataHalf(options: ScriptedOptions = {}): DataHalf {
  return { moduleUrl: new URL('../fixtures/scripted-handler.js', import.meta.url).href, options };
}

export interface PoolRig {
  readonly pool: WorkerPool;
  /** What the pool told, one line each. */
  readonly events: string[];
  /** Ends the workers; the end of the test does it too. */
  close(): Promise<void>;
}

/** A pool closed at the end of the test; pass `events` hooks to hear of faults first hand. */
export function scriptedPool(
  t: Test,
  options: Partial<WorkerPoolOptions> = {},
  hooks: Partial<WorkerPoolEvents> = {},
): PoolRig {
  const events: string[] = [];
  const pool = new WorkerPool(
    {
      queuesPerThread: [1n],
      dataHalf: scriptedDataHalf(),
      engine: 'threads',
      pollUs: 0,
      ...options,
    },
    {
      queueBroken: (queue, fault) => {
        events.push(`queueBroken ${queue} ${fault}`);
        hooks.queueBroken?.(queue, fault);
      },
      kickLost: (queue) => events.push(`kickLost ${queue}`),
      inbandCall: (queue) => {
        events.push(`inbandCall ${queue}`);
        hooks.inbandCall?.(queue);
      },
      handlerFailed: (error) => events.push(`handlerFailed ${error.split('\n')[0]}`),
      workerFailed: (error) => events.push(`workerFailed ${error.message}`),
    },
  );
  let closed = false;
  const close = async () => {
    if (!closed && !events.some((event) => event.startsWith('workerFailed'))) {
      closed = true;
      await pool.close();
    }
  };
  t.teardown(close);
  return { pool, events, close };
}
