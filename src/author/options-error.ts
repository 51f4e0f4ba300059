// Options a device's schema refuses.

export interface OptionIssue {
  readonly option: string;
  readonly message: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
  readonly issues: readonly OptionIssue[];

  constructor(issues: readonly OptionIssue[]) {
    super(issues.map(({ option, message }) => `${option}: ${message}`).join('; '));
    this.issues = issues;
  }
}
