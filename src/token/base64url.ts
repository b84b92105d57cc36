/** RFC 4648 section 5 without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

/**
 * The bytes of a text in base64url without padding, or undefined for anything else. Strict: exactly one text stands for
 * given bytes, so that a text can be compared, logged by its hash or used as a key of a map.
 */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'));
  return toBase64Url(bytes) === text ? bytes : undefined;
}
