// What a checksum of an index is made of (source document, "Integrity Validation"; schema g2 says no more of it).

import { hash } from 'node:crypto';

/** @returns the SHA-1 of a document, in 40 lower-case hexadecimal digits. */
export function documentSha1(data: Uint8Array): string {
  return hash('sha1', data, 'hex');
}

/**
 * The checksum of an index, as a manager computes it of the documents that it has: the SHA-1 over the SHA-1s of the documents, each in 40
 * lower-case hexadecimal digits, in ascending order, with nothing between them. An agent that computes it of its own documents, those that
 * it has sent, learns by `requiresFullSync` whether the manager has the same.
 *
 * @param sha1s one for each document, in any order; equal ones count each. See {@link documentSha1}.
 * @returns 40 lower-case hexadecimal digits. That of no document at all is the SHA-1 of nothing; a manager compares no empty index.
 */
export function checksumOf(sha1s: Iterable<string>): string {
  return hash('sha1', Array.from(sha1s).sort().join(''), 'hex');
}
