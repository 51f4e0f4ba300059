// Why the host's end of a card can't be had.

export type HostEndErrorReason = 'unusable' | 'permission' | 'option';

/** A host end that can't be used, with the sentence for the user. */
export class HostEndError extends Error {
  override readonly name = 'HostEndError';
  readonly reason: HostEndErrorReason;

  constructor(reason: HostEndErrorReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
