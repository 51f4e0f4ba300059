// A VhostBackend in memory that writes down what it is told. With `extras` it is one that has more
// than the trait.

import type { VhostBackend, VhostDeviceBackend } from '../../src/core/frontend/index.js';

export interface ScriptedVhostBackend {
  readonly backend: VhostDeviceBackend;
  /** Calls in order: name and arguments. */
  readonly calls: (readonly [name: string, ...args: unknown[]])[];
  /** Names of the calls so far, which are then forgotten. */
  takeNames(): string[];
}

const TRAIT = [
  'setFeatures',
  'setOwner',
  'resetOwner',
  'setMemTable',
  'setLogBase',
  'setLogFd',
  'setVringNum',
  'setVringAddr',
  'setVringBase',
  'setVringCall',
  'setVringKick',
  'setVringErr',
] as const satisfies readonly (keyof VhostBackend)[];

/** `answers` replaces what a method does; undefined leaves the trait's own. */
export function scriptedVhostBackend(
  offered: bigint,
  answers: Partial<VhostDeviceBackend> = {},
): ScriptedVhostBackend {
  const calls: [string, ...unknown[]][] = [];
  const methods: Record<string, unknown> = {};
  const add = (name: string, run: (...args: never[]) => unknown) => {
    methods[name] = async (...args: never[]) => {
      calls.push([name, ...args]);
      return run(...args);
    };
  };
  for (const name of TRAIT) {
    add(name, () => undefined);
  }
  add('getFeatures', () => offered);
  add('getVringBase', () => 0);
  for (const [name, value] of Object.entries(answers)) {
    if (typeof value === 'function') {
      add(name, value as (...args: never[]) => unknown);
    } else {
      methods[name] = value;
    }
  }
  return {
    backend: methods as unknown as VhostDeviceBackend,
    calls,
    takeNames: () => calls.splice(0).map(([name]) => name),
  };
}
