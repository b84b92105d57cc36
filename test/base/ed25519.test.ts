import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ed25519Key, ed25519PublicBytes, ed25519Sign, ed25519Verify } from '../../src/base/ed25519.js';
import { refusal } from './refusal.js';

describe('Ed25519', () => {
  test('signs and verifies what node:crypto verifies and signs, byte for byte', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const key = ed25519Key(privateKey);
    const publicBytes = ed25519PublicBytes(publicKey);
    for (const length of [0, 1, 63, 64, 400, 8192]) {
      const message = randomBytes(length);
      const signature = ed25519Sign(key, message);
      expect(signature).toEqual(Uint8Array.from(sign(null, message, privateKey)));
      expect(verify(null, message, publicKey, signature)).toBe(true);
      expect(ed25519Verify(publicBytes, message, signature)).toBe(true);
      expect(ed25519Verify(publicBytes, Buffer.concat([message, Buffer.of(0)]), signature)).toBe(false);
    }
    key.wipe();
    expect(() => ed25519Sign(key, Buffer.of(1))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }),
    );
  });

  test('does not verify with keys and signatures of another length, and does not throw', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const message = Buffer.from('message');
    const signature = ed25519Sign(ed25519Key(privateKey), message);
    const bytes = ed25519PublicBytes(publicKey);
    for (const length of [0, 1, 31, 33, 64]) {
      expect(ed25519Verify(new Uint8Array(length), message, signature)).toBe(false);
    }
    for (const length of [0, 63, 65]) {
      expect(ed25519Verify(bytes, message, new Uint8Array(length))).toBe(false);
    }
  });

  test('takes Ed25519 keys alone, each of its kind', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const other = generateKeyPairSync('x25519');
    expect(refusal(() => ed25519Key(publicKey))).toContain('an Ed25519 private key; got public ed25519');
    expect(refusal(() => ed25519Key(other.privateKey))).toContain('got private x25519');
    expect(refusal(() => ed25519PublicBytes(privateKey))).toContain('an Ed25519 public key');
    expect(ed25519PublicBytes(createPublicKey(privateKey))).toEqual(ed25519PublicBytes(publicKey));
  });
});
