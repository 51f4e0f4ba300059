// What every command shares: one line for each error, the exit code of the table, the flags of a
// socket and of the log.

import { Command } from '@oclif/core/command';
import type { Config } from '@oclif/core/config';
import { EXIT_CODES, UserError } from './exit-codes.js';
import { Flags } from './flags.js';
import { LOG_FORMATS, LOG_LEVELS } from './log-choices.js';

/** Devices a process has room for; also the number of io_urings. */
const WORKERS_MAX = 64;
const POLL_US_MAX = 1000;

/** pino's number for 'error'. */
const PINO_ERROR = 50;

export const SOCKET_FLAGS = {
  socket: Flags.string({
    aliases: ['socket-path'],
    description: 'listen on this UNIX socket',
    helpValue: 'PATH',
  }),
  fd: Flags.integer({
    min: 0,
    description: 'use this inherited descriptor: a listening or a connected socket',
    helpValue: 'N',
  }),
  client: Flags.boolean({
    description: 'connect to --socket, where the front-end listens, and again when it has left',
  }),
  once: Flags.boolean({ description: 'exit when the first front-end has left' }),
} as const;

/** What the flags of a socket must keep between them. */
export function checkSocketFlags(flags: {
  readonly socket?: string | undefined;
  readonly fd?: number | undefined;
  readonly client: boolean;
}): void {
  if ((flags.socket === undefined) === (flags.fd === undefined)) {
    throw new UserError('usage', 'give either --socket PATH or --fd N');
  }
  if (flags.socket === '') {
    // The kernel would take it for "any abstract name".
    throw new UserError('usage', '--socket is empty');
  }
  if (flags.client && flags.socket === undefined) {
    throw new UserError('usage', '--client needs --socket PATH');
  }
}

/** QEMU needs a path to connect to. */
export function socketForQemu({ socket }: { readonly socket?: string | undefined }): string {
  if (socket === undefined) {
    throw new UserError('usage', '--print-qemu-args needs --socket PATH');
  }
  return socket;
}

export const WORKER_FLAGS = {
  workers: Flags.integer({
    default: 1,
    min: 1,
    max: WORKERS_MAX,
    description: 'worker threads; queues are shared out among them',
    helpValue: 'N',
  }),
  aio: Flags.option({ options: ['io_uring', 'threads'] as const })({
    default: 'io_uring',
    description: 'how files are read and written; threads where io_uring is forbidden',
  }),
  'poll-us': Flags.integer({
    min: 0,
    max: POLL_US_MAX,
    description: 'look for this many microseconds before sleeping, while it pays',
    helpValue: 'N',
  }),
} as const;

export const LOG_FLAGS = {
  'log-level': Flags.option({ options: LOG_LEVELS })({
    default: 'info',
    description: 'least important lines to log',
  }),
  'log-format': Flags.option({ options: LOG_FORMATS })({
    default: 'auto',
    description: 'auto is text on a terminal, else json',
  }),
} as const;

export const INFORMATION_FLAGS = {
  'print-capabilities': Flags.boolean({
    description: 'print what this back-end can do as JSON; every other flag is ignored',
  }),
  'print-qemu-args': Flags.boolean({ description: "print the matching flags of QEMU's and exit" }),
} as const;

/** What oclif asks of its configuration while a command runs. The real one reads package.json and
 *  looks for plugins, 60 ms for nothing. */
const CONFIG = {
  bin: 'vhost-ts',
  topicSeparator: ':',
  userAgent: 'vhost-ts',
  runHook: async () => ({ successes: [], failures: [] }),
  scopedEnvVar: () => undefined,
  scopedEnvVarKey: (key: string) => `VHOST_TS_${key}`,
  scopedEnvVarKeys: (key: string) => [`VHOST_TS_${key}`],
} as unknown as Config;

export abstract class BaseCommand extends Command {
  /** Runs this command at once, without oclif's dispatcher. */
  static async start<T extends BaseCommand>(
    this: new (
      argv: string[],
      config: Config,
    ) => T,
    argv: string[],
  ): Promise<void> {
    await new this(argv, CONFIG)._run();
  }

  /** Errors end here: one sentence on stderr and the documented code. */
  protected override async catch(error: Error & { exitCode?: number }): Promise<never> {
    const reason = error instanceof UserError ? error.reason : undefined;
    // oclif's own errors are about flags and arguments.
    const isUsage = 'parse' in error || 'oclif' in error;
    const code = EXIT_CODES[reason ?? (isUsage ? 'usage' : 'failure')];
    const sentence = reason !== undefined || isUsage ? oneLine(error.message) : String(error.stack);
    process.stderr.write(this.#errorLine(sentence, code));
    process.exit(code);
  }

  /** JSON only where it was asked for: the flags may not have been parsed. */
  #errorLine(sentence: string, code: number): string {
    const device = this.id ?? '';
    const at = this.argv.indexOf('--log-format');
    const json =
      this.argv.includes('--log-format=json') || (at >= 0 && this.argv[at + 1] === 'json');
    return json
      ? `${JSON.stringify({ level: PINO_ERROR, name: device, exitCode: code, msg: sentence })}\n`
      : `vhost-ts ${device}: ${sentence}\n`;
  }
}

/** oclif's messages: several lines, a preamble, "See more help with --help" at the end. What the
 *  user typed may hold line ends and escapes of its own. */
export function oneLine(message: string): string {
  return message
    .replace(/^The following errors? occurred:\s*/, '')
    .replace(/^Parsing (--\S+)\s+/, '$1: ')
    .replace(/\s*See more help with --help\s*$/, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length > 0)
    .join('; ')
    .replace(/\p{Cc}/gu, '?');
}
