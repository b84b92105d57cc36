import { mkdirSync, rmSync } from 'node:fs';
import { CertificateAuthority, type Identity } from '../../keys/kme/certificates.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes, systemReason, UsageError } from '../errors.js';
import { authorityFiles, exists, type IdentityFiles, kmeFiles, readPemFile, saeFiles } from '../kme-files.js';
import { flag, integer, list, name, required, text, type Values, withDefault } from '../options.js';
import { privateKeyPem } from '../private-key-pem.js';
import { printable } from '../terminal.js';
import { writeNewSecret } from '../write-new-secret.js';

/** Of a common name (RFC 5280, appendix A.1). */
const maxIdBytes = 64;

const options = {
  out: required(text('DIR'), 'the folder to write to; made when it is missing'),
  kme: list(name(maxIdBytes), 'ids of KMEs that need a certificate'),
  sae: list(name(maxIdBytes), 'ids of SAEs that need a certificate'),
  host: list(
    text('HOST'),
    'names and addresses under which the KMEs are reached, beside localhost, 127.0.0.1 and ::1',
  ),
  days: withDefault(integer(1, 3650), '365', 'how long the certificates are valid'),
  force: flag('replace certificates that are there; the authority stays'),
  json: flag('print JSON'),
};

export const kmeCerts: Command = defineCommand({
  name: 'kme certs',
  summary: 'makes the certificates by which KMEs and SAEs know each other',
  details: [
    'They are for development and tests. An authority of their own signs them: ca.pem is what both sides trust, and ca.key makes more of them later. Whoever has ca.key can pass for any of them.',
    'A KME has kme-ID.pem and kme-ID.key, an SAE sae-ID.pem and sae-ID.key. Only you can read the files.',
  ],
  options,
  run,
});

/** One certificate to be made. */
interface Wanted {
  readonly kind: 'kme' | 'sae';
  readonly id: string;
  readonly files: IdentityFiles;
}

async function run(values: Values<typeof options>): Promise<number> {
  const { out, kme, sae, force, json } = values;
  const wanted: readonly Wanted[] = [
    ...[...new Set(kme)].map((id) => ({ kind: 'kme', id, files: kmeFiles(out, id) }) as const),
    ...[...new Set(sae)].map((id) => ({ kind: 'sae', id, files: saeFiles(out, id) }) as const),
  ];
  if (wanted.length === 0) throw new UsageError('say for whom: --kme ID, --sae ID, or both');
  // Before anything is written.
  const taken = wanted.find(({ files }) => exists(files));
  if (taken !== undefined && !force) {
    throw new CommandError(`${taken.files.certificate} is there already; --force replaces it`);
  }
  makeFolder(out);
  const { authority, made } = openAuthority(out);
  for (const each of wanted) {
    const identity =
      each.kind === 'kme'
        ? authority.kme({ id: each.id, hosts: values.host, days: values.days })
        : authority.sae({ id: each.id, days: values.days });
    for (const path of [each.files.certificate, each.files.privateKey]) rmSync(path, { force: true });
    writeIdentity(each.files, identity);
  }
  process.stdout.write(json ? jsonOf(out, made, wanted) : textOf(out, made, wanted));
  return exitCodes.ok;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CommandError(`cannot make the folder ${path}: ${systemReason(error)}`);
  }
}

/** That of the folder, which is made when there is none. */
function openAuthority(folder: string): { readonly authority: CertificateAuthority; readonly made: boolean } {
  const files = authorityFiles(folder);
  if (exists(files)) {
    const advice = 'an authority has both; choose another folder for a new one';
    const certificate = readPemFile(files.certificate, advice);
    const privateKey = readPemFile(files.privateKey, advice);
    try {
      return { authority: CertificateAuthority.load({ certificate, privateKey }), made: false };
    } finally {
      privateKey.fill(0);
    }
  }
  const authority = CertificateAuthority.make();
  writeIdentity(files, authority);
  return { authority, made: true };
}

function writeIdentity(files: IdentityFiles, { certificate, privateKey }: Identity): void {
  const pem = privateKeyPem(privateKey);
  try {
    writeNewSecret(files.privateKey, pem, '; choose another folder');
  } finally {
    pem.fill(0);
  }
  writeNewSecret(files.certificate, certificate, '; choose another folder');
}

function jsonOf(folder: string, made: boolean, wanted: readonly Wanted[]): string {
  const authority = { ...authorityFiles(folder), made };
  const certificates = wanted.map(({ kind, id, files }) => ({ kind, id, ...files }));
  return `${JSON.stringify({ authority, certificates })}\n`;
}

function textOf(folder: string, made: boolean, wanted: readonly Wanted[]): string {
  const { certificate } = authorityFiles(folder);
  const lines = [
    `authority   ${certificate}${made ? ' (new)' : ''}`,
    ...wanted.map(({ kind, id, files }) => `${kind} ${id}   ${files.certificate}, ${files.privateKey}`),
  ];
  const kmes = wanted.filter(({ kind }) => kind === 'kme').map(({ id }) => id);
  if (kmes.length >= 2 && kmes.length % 2 === 0) {
    lines.push(`next        hawser kme --certs ${folder} --id ${kmes.join(',')}`);
  }
  return lines.map((line) => `${printable(line)}\n`).join('');
}
