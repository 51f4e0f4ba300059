// For our own mistakes only: nothing a guest or a front-end sends may reach an assertion.

export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) {
    throw new AssertionFailure(message);
  }
}
