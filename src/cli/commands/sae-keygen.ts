import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { writeMasterKey } from '../../keys/store/master-key.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes, UsageError } from '../errors.js';
import { choice, flag, optional, text, type Values } from '../options.js';
import { writeSigningKey } from '../sae-new-keys.js';
import { printable } from '../terminal.js';

const generate = promisify(generateKeyPair);

const options = {
  out: optional(
    text('FILE'),
    'write a signing key to this new file, which only you can read, and its public half to FILE.pub',
  ),
  rsa: optional(
    choice(['2048', '3072', '4096']),
    'an RSA key of so many bits, for peers that speak sae-json (default: Ed25519)',
  ),
  masterKey: optional(
    text('FILE'),
    'write a master key, under which a store seals its keys, to this new file, which only you can read',
  ),
  json: flag('print JSON'),
};

export const saeKeygen: Command = defineCommand({
  name: 'sae keygen',
  summary: 'makes the signing key of an SAE, and the master key of its store',
  details: [
    'An SAE signs its messages with its signing key. Peers know it by its public half: copy FILE.pub to them, and theirs here, by a way that nobody can change.',
    'Without the master key nothing in a store can be read: keep it, and keep it apart from the store.',
  ],
  options,
  run,
});

async function run({ out, rsa, masterKey, json }: Values<typeof options>): Promise<number> {
  if (out === undefined && masterKey === undefined) {
    throw new UsageError('say what to make: --out FILE, --master-key FILE, or both');
  }
  if (rsa !== undefined && out === undefined) throw new UsageError('--rsa goes with --out');
  if (out !== undefined)
    writeSigningKey(out, await generateSigningKey(rsa === undefined ? undefined : Number(rsa)));
  if (masterKey !== undefined) writeMasterKey(masterKey);
  if (json) {
    const publicKey = out === undefined ? null : `${out}.pub`;
    const made = { signingKey: out ?? null, publicKey, masterKey: masterKey ?? null };
    process.stdout.write(`${JSON.stringify(made)}\n`);
    return exitCodes.ok;
  }
  if (out !== undefined) {
    const kind = rsa === undefined ? 'Ed25519' : `RSA, ${rsa} bits`;
    process.stdout.write(
      `signing key (${kind}) is in ${printable(out)}, its public half in ${printable(out)}.pub\n`,
    );
  }
  if (masterKey !== undefined) process.stdout.write(`master key is in ${printable(masterKey)}\n`);
  return exitCodes.ok;
}

/** @param bits of RSA; undefined for Ed25519. */
async function generateSigningKey(bits: number | undefined): Promise<KeyObject> {
  if (bits === undefined) return (await generate('ed25519')).privateKey;
  return (await generate('rsa', { modulusLength: bits })).privateKey;
}
