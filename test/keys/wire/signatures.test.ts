import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { PinnedKeys } from '../../../src/keys/wire/pinned-keys.js';
import { SigningKey, VerifyingKey } from '../../../src/keys/wire/signatures.js';
import { fromHex, toHex, utf8 } from '../../reference/bytes.js';
import { damaged } from '../../sync/wire/arbitrary-messages.js';
import { ed25519Key, rsaKey } from './parties.js';

const rsa = rsaKey();
const data = utf8('a message');

function verifierOf(key: KeyObject): VerifyingKey {
  return new VerifyingKey(createPublicKey(key));
}

describe.each([
  ['Ed25519', ed25519Key(1), ed25519Key(2), 64],
  ['RSA of 2048 bits', rsa, rsaKey(), 256],
])('signatures of %s', (_, key, other, length) => {
  const signing = new SigningKey(key);

  test('are good for what was signed, and for nothing else', () => {
    const signature = signing.sign(data);
    expect(signature).toHaveLength(length);
    expect(signing.signatureBytes).toBe(length);
    const verifier = verifierOf(key);
    expect(verifier.verify(data, signature)).toBe(true);
    expect(verifier.verify(utf8('another'), signature)).toBe(false);
    expect(verifier.verify(new Uint8Array(0), signature)).toBe(false);
    expect(verifierOf(other).verify(data, signature)).toBe(false);
    for (const bytes of [
      new Uint8Array(0),
      new Uint8Array(length),
      new Uint8Array(length + 1),
      signature.subarray(1),
    ]) {
      expect(verifier.verify(data, bytes)).toBe(false);
    }
  });

  test('are not good with any bit turned over, nor cut, nor with more behind them', () => {
    const signature = signing.sign(data);
    const verifier = verifierOf(key);
    let count = 0;
    for (const bytes of damaged(signature)) {
      // Of RSA's 2048 bits each fourteenth is enough.
      if (length === 64 || count++ % 14 === 0) expect(verifier.verify(data, bytes)).toBe(false);
    }
    expect(verifier.verify(data, Buffer.concat([signature, Buffer.alloc(1)]))).toBe(false);
  });
});

describe('signatures of Ed25519', () => {
  test('are those of RFC 8032, section 7.1', () => {
    // Test 1 there, by the first 32 bytes of its private key.
    const prefix = '302e020100300506032b657004220420';
    const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
    const key = createPrivateKey({ key: Buffer.from(fromHex(prefix + seed)), format: 'der', type: 'pkcs8' });
    expect(toHex(new SigningKey(key).sign(new Uint8Array(0)))).toBe(
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155' +
        '5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    );
  });

  test('have no second form: S is less than the order of the group', () => {
    const signature = new SigningKey(ed25519Key(1)).sign(data);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const view = Buffer.from(signature);
    let s = BigInt(`0x${Buffer.from(view.subarray(32)).reverse().toString('hex')}`) + order;
    for (let at = 32; at < 64; ++at, s >>= 8n) view[at] = Number(s & 0xffn);
    expect(verifierOf(ed25519Key(1)).verify(data, view)).toBe(false);
  });
});

describe('signatures of RSA', () => {
  test("as the original's are good as such only, and those of HAWSER only as those", () => {
    const signing = new SigningKey(rsa);
    const verifier = verifierOf(rsa);
    const original = signing.signAsOriginal(data);
    expect(verifier.verifyAsOriginal(data, original)).toBe(true);
    expect(verifier.verify(data, original)).toBe(false);
    expect(verifier.verifyAsOriginal(data, signing.sign(data))).toBe(false);
    expect(verifier.verifyAsOriginal(utf8('another'), original)).toBe(false);
    expect(verifier.verifyAsOriginal(data, original.subarray(1))).toBe(false);
  });

  test('fill the room there is, with a modulus of any number of bits', () => {
    const odd = rsaKey(2050);
    const signing = new SigningKey(odd);
    expect(signing.signAsOriginal(data)).toHaveLength(257);
    expect(verifierOf(odd).verifyAsOriginal(data, signing.signAsOriginal(data))).toBe(true);
    expect(verifierOf(odd).verify(data, signing.sign(data))).toBe(true);
  });
});

describe('a signing key', () => {
  test('of Ed25519 is wiped when it is closed, and signs nothing more', () => {
    const signing = new SigningKey(ed25519Key(1));
    signing.close();
    signing.close();
    expect(() => signing.sign(data)).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }));
  });

  test("of Ed25519 neither signs nor verifies as the original's", () => {
    const signing = new SigningKey(ed25519Key(1));
    expect(() => signing.signAsOriginal(data)).toThrow('the key must be of RSA');
    expect(verifierOf(ed25519Key(1)).verifyAsOriginal(data, signing.sign(data))).toBe(false);
  });

  test('shows nothing of itself', () => {
    for (const key of [new SigningKey(ed25519Key(0x41)), new SigningKey(rsa)]) {
      expect(JSON.stringify(key)).toBe(
        JSON.stringify({ algorithm: key.algorithm, publicKey: {}, signatureBytes: key.signatureBytes }),
      );
      expect(inspect(key, { depth: 9, showHidden: true })).not.toMatch(/AAAA|41 41|65, 65|PRIVATE/);
    }
  });
});

describe('keys', () => {
  test.each<readonly [string, KeyObject, string]>([
    ['RSA of 1024 bits', rsaKey(1024), 'of 2048 to 8192 bits, being RSA; got 1024 bits'],
    [
      'a curve',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
      'of Ed25519 or RSA; got a key of ec',
    ],
    ['Ed448', generateKeyPairSync('ed448').privateKey, 'of Ed25519 or RSA; got a key of ed448'],
    ['X25519', generateKeyPairSync('x25519').privateKey, 'of Ed25519 or RSA; got a key of x25519'],
    [
      'RSA for PSS alone',
      generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey,
      'of Ed25519 or RSA; got a key of rsa-pss',
    ],
  ])('of another kind are refused: %s', (_, key, message) => {
    const expected = expect.objectContaining({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(message),
    });
    expect(() => new SigningKey(key)).toThrow(expected);
    expect(() => verifierOf(key)).toThrow(expected);
    expect(() => new PinnedKeys('hawser').pin('SAE', createPublicKey(key))).toThrow(expected);
  });

  test('are private to sign with and public to verify by', () => {
    expect(() => new SigningKey(createPublicKey(rsa))).toThrow(
      'signingKey must be a private key; got a public key',
    );
    expect(() => new VerifyingKey(rsa)).toThrow('publicKey must be a public key; got a private key');
    expect(() => new SigningKey(createSecretKey(Buffer.alloc(32)))).toThrow('got a secret key');
  });
});

describe('pinned keys', () => {
  test('are found by the id of their SAE, and no more once they are not pinned', () => {
    const pinned = new PinnedKeys('hawser');
    pinned.pin('__proto__', createPublicKey(ed25519Key(1)));
    expect(pinned.get('__proto__')?.algorithm).toBe('ed25519');
    expect(pinned.get('constructor')).toBeUndefined();
    pinned.unpin('__proto__');
    expect(pinned.get('__proto__')).toBeUndefined();
    pinned.unpin('__proto__');
  });

  test('are not shared by two SAEs', () => {
    const pinned = new PinnedKeys('hawser');
    pinned.pin('SAE_A', createPublicKey(ed25519Key(1)));
    pinned.pin('SAE_A', createPublicKey(ed25519Key(1)));
    const message = '"SAE_B" and "SAE_A" have the same public key';
    expect(() => pinned.pin('SAE_B', createPublicKey(ed25519Key(1)))).toThrow(message);
    pinned.pin('SAE_A', createPublicKey(ed25519Key(2)));
    pinned.pin('SAE_B', createPublicKey(ed25519Key(1)));
    expect(() => pinned.pin('SAE_A', createPublicKey(ed25519Key(1)))).toThrow('have the same public key');
  });

  test('of the wire sae-json are of RSA', () => {
    const pinned = new PinnedKeys('sae-json');
    pinned.pin('SAE_A', createPublicKey(rsa));
    expect(() => pinned.pin('SAE_B', createPublicKey(ed25519Key(1)))).toThrow('has an RSA key');
  });

  test.each(['', ' ', 'x'.repeat(257), '\ud800'])('have no owner called %j', (saeId) => {
    expect(() => new PinnedKeys('hawser').pin(saeId, createPublicKey(rsa))).toThrow(
      'saeId must be 1 to 256 bytes of text that is not all blank',
    );
  });
});
