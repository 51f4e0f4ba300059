// From the flags of `vhost-ts run` to a served device of the user's own. Loaded only when there is
// something to serve.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DefinedDevice } from '../author/definition.js';
import type { OptionIssue } from '../author/options-error.js';
import type { VirtioDevice } from '../core/index.js';
import { UserError } from './exit-codes.js';
import { loggerOf, type ServeFlags, serve } from './serve.js';

export interface RunFlags extends ServeFlags {
  readonly module: string;
  readonly option?: readonly string[] | undefined;
  readonly workers: number;
}

type Values = Readonly<Record<string, unknown>>;

export async function runDevice(flags: RunFlags): Promise<void> {
  const options = parseOptions(flags.option ?? []);
  const defined = await loadDevice(flags.module);
  const device = createDevice(defined, options);
  const log = loggerOf(defined.name, flags);
  try {
    const workers = Math.min(flags.workers, device.numQueues());
    const served = [{ device, socket: flags.socket, fd: flags.fd, workers }];
    await serve(flags, { served, log });
  } finally {
    device.close?.();
  }
}

/** `a=1`, `b=two=2`: the first `=` divides. */
export function parseOptions(words: readonly string[]): Record<string, string> {
  const options: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    const name = word.slice(0, Math.max(at, 0));
    if (name === '') {
      throw new UserError('usage', `--option ${word}: not NAME=VALUE`);
    }
    if (Object.hasOwn(options, name)) {
      throw new UserError('usage', `--option ${name} is given twice`);
    }
    options[name] = word.slice(at + 1);
  }
  return options;
}

async function loadDevice(path: string): Promise<DefinedDevice<Values>> {
  let module: unknown;
  try {
    module = await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    // "Cannot find module '…' imported from" this very file helps nobody.
    const first = said.split('\n')[0]?.replace(/ imported from .*/, '');
    throw new UserError('input', `${path} does not load: ${first}`);
  }
  return chooseDevice(path, module);
}

/** The default export when that is a device, else the only one. */
export function chooseDevice(path: string, module: unknown): DefinedDevice<Values> {
  const exported = module as Readonly<Record<string, unknown>>;
  const devices = isDevice(exported.default)
    ? [exported.default]
    : Object.values(exported).filter(isDevice);
  const [device] = devices;
  if (device === undefined) {
    throw new UserError('input', `${path} exports no device: export what defineDevice() returns`);
  }
  if (devices.length > 1) {
    const names = devices.map(({ name }) => name).join(', ');
    throw new UserError('input', `${path} exports ${names}: make one the default export`);
  }
  return device;
}

const DEVICE_KIND: DefinedDevice['kind'] = 'vhost-ts device';

function isDevice(value: unknown): value is DefinedDevice<Values> {
  return (value as Partial<DefinedDevice> | undefined | null)?.kind === DEVICE_KIND;
}

/** Options come as text. Those the schema refuses so are tried as JSON: numbers, booleans. */
export function createDevice(
  device: DefinedDevice<Values>,
  options: Readonly<Record<string, string>>,
): VirtioDevice {
  try {
    return device.create(options);
  } catch (error) {
    const refused = new Set(issuesOf(error).map(({ option }) => option.split('.')[0]));
    const second = Object.entries(options).map(([name, text]) => [
      name,
      refused.has(name) ? parsedOr(text) : text,
    ]);
    try {
      return device.create(Object.fromEntries(second));
    } catch (again) {
      const said = issuesOf(again).map(({ option, message }) => `--option ${option}: ${message}`);
      throw new UserError('usage', said.join('; '));
    }
  }
}

/** By name: the module may have another copy of the library than this command. What is no refusal
 *  of options is the module's own failure. */
function issuesOf(error: unknown): readonly OptionIssue[] {
  if (error instanceof Error && error.name === 'OptionsError' && 'issues' in error) {
    return error.issues as readonly OptionIssue[];
  }
  throw new UserError('input', error instanceof Error ? error.message : String(error));
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
