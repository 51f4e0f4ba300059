// Hex text to bytes and back, so that test tables read like a capture.

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Lengths at both edges of a rule and in its gaps which the rule does not allow. */
export function illegalLengths(
  isLegal: (lengthBytes: number) => boolean,
  maxBytes: number,
): number[] {
  const illegal = new Set<number>();
  for (let length = 0; length <= maxBytes; length++) {
    if (isLegal(length)) {
      for (const near of [length - 1, length + 1]) {
        if (near >= 0 && near <= maxBytes && !isLegal(near)) {
          illegal.add(near);
        }
      }
    }
  }
  if (!isLegal(0)) {
    illegal.add(0);
  }
  if (!isLegal(maxBytes)) {
    illegal.add(maxBytes);
  }
  return [...illegal].sort((a, b) => a - b);
}
