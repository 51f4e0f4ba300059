// How the command ends. The numbers above 64 are sysexits, which systemd knows by name.

export const EXIT_CODES = {
  /** Asked to stop, `--once` and the front-end left, or information printed. */
  ok: 0,
  /** Failure after the start. */
  failure: 1,
  /** Unknown flag, bad value, flags that exclude each other. */
  usage: 2,
  /** The image can't be used. */
  input: 66,
  /** The socket can't be created or is in use. */
  socket: 73,
  /** No permission. */
  permission: 77,
  /** The configuration is invalid. */
  config: 78,
} as const;

export type ExitReason = keyof typeof EXIT_CODES;

/** Ends the command with one line and the code of the table. */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly reason: ExitReason;

  constructor(reason: ExitReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
