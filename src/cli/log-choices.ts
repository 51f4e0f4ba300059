// Apart from the logger, so that flags can name them without loading it.

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'silent'] as const;
export const LOG_FORMATS = ['auto', 'json', 'text', 'journal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = (typeof LOG_FORMATS)[number];
