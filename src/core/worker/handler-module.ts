// The data half of a device, found among the exports of its module.

import type { HandlerFactory } from '../device.js';

interface Exported {
  readonly name?: unknown;
  readonly handlerFactory?: HandlerFactory;
}

/** The module's `handlerFactory`, or that of the device of this name. Throws when there is none. */
export function handlerFactoryOf(module: unknown, device: string | undefined): HandlerFactory {
  const exported = Object.values(module as Readonly<Record<string, Exported | undefined>>);
  const found =
    device === undefined
      ? (module as Exported).handlerFactory
      : exported.find((value) => value?.name === device && value.handlerFactory !== undefined)
          ?.handlerFactory;
  if (found === undefined) {
    throw new Error(`the module exports no ${device === undefined ? 'handlerFactory' : device}`);
  }
  return found;
}
