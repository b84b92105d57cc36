// The folder of certificates that `hawser kme certs` makes and `hawser kme` reads: which file is what.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, systemCode, systemReason } from './errors.js';

/** A certificate and its private key. */
export interface IdentityFiles {
  readonly certificate: string;
  readonly privateKey: string;
}

export function authorityFiles(folder: string): IdentityFiles {
  return files(join(folder, 'ca'));
}

export function kmeFiles(folder: string, id: string): IdentityFiles {
  return files(join(folder, `kme-${encodeURIComponent(id)}`));
}

export function saeFiles(folder: string, id: string): IdentityFiles {
  return files(join(folder, `sae-${encodeURIComponent(id)}`));
}

function files(path: string): IdentityFiles {
  return { certificate: `${path}.pem`, privateKey: `${path}.key` };
}

/** The SAEs whose certificates are in the folder: their ids as URLs have them, which the names of the files are made of. */
export function listSaes(folder: string): readonly (IdentityFiles & { readonly encodedId: string })[] {
  return readdirSync(folder)
    .sort()
    .filter((name) => name.startsWith('sae-') && name.endsWith('.pem'))
    .map((name) => name.slice(0, -'.pem'.length))
    .map((name) => ({ encodedId: name.slice('sae-'.length), ...files(join(folder, name)) }));
}

/** Whether either of them is there. */
export function exists({ certificate, privateKey }: IdentityFiles): boolean {
  return existsSync(certificate) || existsSync(privateKey);
}

/** @param advice what to do when it is missing. @throws CommandError. */
export function readPemFile(path: string, advice: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    throw new CommandError(`cannot read ${path}: ${systemReason(error)}${missing ? `; ${advice}` : ''}`);
  }
}
