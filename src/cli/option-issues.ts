// What a schema says of options, in the words of the command line.

import type { z } from 'zod';

/**
 * `--queue-pairs: is more than there may be`, joined with semicolons. `names` holds the flags
 * that are called otherwise than their option in the schema.
 */
export function flagIssues(
  error: z.ZodError,
  names: Readonly<Record<string, string>> = {},
): string {
  return error.issues
    .map(({ path, message }) => {
      const option = String(path[0]);
      return `--${names[option] ?? kebabCase(option)}: ${message}`;
    })
    .join('; ');
}

function kebabCase(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The options whose flags were given: the schema's defaults are for the others. */
export function given<T extends object>(options: T): Partial<T> {
  const set = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as Partial<T>;
}
