import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checksumOf, documentSha1 } from '../../../src/sync/store/checksum.js';

describe('a checksum', () => {
  it('of a document is its SHA-1 in lower-case hexadecimal digits', () => {
    // RFC 3174, section 7.3, and the SHA-1 of nothing.
    expect(documentSha1(Buffer.from('abc'))).toBe('a9993e364706816aba3e25717850c26c9cd0d89d');
    expect(documentSha1(new Uint8Array())).toBe('da39a3ee5e6b4b0d3255bfef95601890afd80709');
  });

  it('of a part of a buffer is of that part alone', () => {
    expect(documentSha1(Buffer.from('xabcx').subarray(1, 4))).toBe(documentSha1(Buffer.from('abc')));
  });

  it('of an index is the SHA-1 of the digits of its documents, in ascending order and with nothing between them', () => {
    const abc = 'a9993e364706816aba3e25717850c26c9cd0d89d';
    const nothing = 'da39a3ee5e6b4b0d3255bfef95601890afd80709';
    const expected = createHash('sha1').update(abc).update(nothing).digest('hex');
    expect(checksumOf([nothing, abc])).toBe(expected);
    expect(checksumOf(new Set([abc, nothing]))).toBe(expected);
  });

  it('counts documents that are the same each for itself', () => {
    const abc = documentSha1(Buffer.from('abc'));
    expect(checksumOf([abc, abc])).toBe(createHash('sha1').update(abc).update(abc).digest('hex'));
    expect(checksumOf([abc, abc])).not.toBe(checksumOf([abc]));
  });

  it('of no documents is the SHA-1 of nothing, and the caller keeps its order', () => {
    expect(checksumOf([])).toBe('da39a3ee5e6b4b0d3255bfef95601890afd80709');
    const given = ['b'.repeat(40), 'a'.repeat(40)];
    checksumOf(given);
    expect(given[0]).toBe('b'.repeat(40));
  });
});
