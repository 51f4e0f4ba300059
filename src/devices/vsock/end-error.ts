/** An end that can't be had, with the sentence for the user. */
export class EndError extends Error {
  override readonly name = 'EndError';
  /** Of the system: 'EADDRINUSE'. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
