// Log lines on stderr: JSON for machines, one readable line for people. Synchronous, so that no
// line is lost when the process aborts.

import { type DestinationStream, destination, type Logger, pino } from 'pino';
import type { LogFormat, LogLevel } from './log-choices.js';

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly name: string;
}

/** journald's priorities (sd-daemon(3)) by pino's level numbers. */
const PRIORITIES: Readonly<Record<number, number>> = { 60: 2, 50: 3, 40: 4, 30: 6, 20: 7, 10: 7 };
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  50: 'error',
  40: 'warn',
  30: 'info',
  20: 'debug',
};
const ADMINISTRATIVE = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'name']);

export function createLogger({ level, format, name }: LoggerOptions): Logger {
  const stderr = destination({ fd: 2, sync: true });
  const text = format === 'text' || (format === 'auto' && process.stderr.isTTY);
  if (text || format === 'journal') {
    const render = format === 'journal' ? journalLine : textLine;
    const stream: DestinationStream = {
      write: (line) => {
        stderr.write(render(JSON.parse(line)));
      },
    };
    return pino({ level, name, base: {} }, stream);
  }
  return pino({ level, name }, stderr);
}

interface LogRecord {
  readonly level: number;
  readonly name: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

/** `vhost-ts blk: warn: virtqueue stopped (queue=0)` */
export function textLine(record: LogRecord): string {
  const fields = Object.entries(record)
    .filter(([key]) => !ADMINISTRATIVE.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const level = record.level === 30 ? '' : `${LEVEL_NAMES[record.level] ?? record.level}: `;
  const tail = fields.length > 0 ? ` (${fields.join(', ')})` : '';
  return `vhost-ts ${record.name}: ${level}${record.msg ?? ''}${tail}\n`;
}

/** The text line behind the priority journald reads. */
export function journalLine(record: LogRecord): string {
  return `<${PRIORITIES[record.level] ?? 6}>${textLine(record)}`;
}
