// A small certificate authority for development and tests: certificates of KMEs and SAEs (X.509, RFC 5280; ECDSA with P-256).

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import {
  argumentError,
  checkArray,
  checkInteger,
  checkString,
  checkText,
  describe,
} from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import * as der from './der.js';
import { extension, generalName, issue, keyIdOf, nameOf, oids } from './x509.js';

/** A certificate and its private key. */
export interface Identity {
  /** PEM. */
  readonly certificate: string;
  /** The key of the certificate. */
  readonly privateKey: KeyObject;
}

const dayMs = 86_400_000;
const defaultDays = 365;
const defaultAuthorityDays = 3650;
const maxDays = 36_500;
/** ub-common-name of RFC 5280, appendix A.1, in bytes instead of characters. */
const maxNameBytes = 64;
const maxHosts = 64;

const localHosts = ['localhost', '127.0.0.1', '::1'] as const;

/** Makes and signs certificates. Its private key lets anybody pass for any SAE and any KME that trusts it. */
export class CertificateAuthority implements Identity {
  /** Its own, PEM. */
  readonly certificate: string;
  /** The key of its certificate. */
  readonly privateKey: KeyObject;
  readonly #name: string;
  readonly #keyId: Buffer;
  readonly #endMs: number;

  private constructor({ certificate, privateKey }: Identity, name: string) {
    this.certificate = certificate;
    this.privateKey = privateKey;
    this.#name = name;
    this.#keyId = keyIdOf(createPublicKey(privateKey));
    this.#endMs = Date.parse(new X509Certificate(certificate).validTo);
  }

  /**
   * A new one.
   *
   * @param options `name` of at most 64 bytes; `days` of its validity, 1 to 36,500, 3650 by default.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  static make(options: { readonly name?: string; readonly days?: number } = {}): CertificateAuthority {
    const name = checkText('name', options.name ?? 'hawser development CA', maxNameBytes);
    const days = checkDays(options.days ?? defaultAuthorityDays);
    const { publicKey, privateKey } = generateKeys();
    const keyId = keyIdOf(publicKey);
    const certificate = issue({
      subject: name,
      issuer: name,
      publicKey,
      signer: privateKey,
      endMs: Date.now() + days * dayMs,
      extensions: [
        // It may sign certificates, but none of other authorities.
        extension(oids.basicConstraints, true, der.sequence(der.boolean(true), der.unsigned(Buffer.of(0)))),
        // keyCertSign, cRLSign: bits 5 and 6.
        extension(oids.keyUsage, true, der.bitString(Buffer.of(0b0000_0110), 1)),
        extension(oids.subjectKeyIdentifier, false, der.octetString(keyId)),
      ],
    });
    return new CertificateAuthority({ certificate, privateKey }, name);
  }

  /**
   * One that was made before.
   *
   * @param pem the certificate and the private key.
   * @throws HawserError ERR_HAWSER_ARGUMENT when they are no PEM, do not belong together, or are not of an authority that `make` made.
   */
  static load(pem: {
    /** Its own, PEM. */
    readonly certificate: string | Uint8Array;
    /** The key of its certificate. */
    readonly privateKey: string | Uint8Array;
  }): CertificateAuthority {
    const { certificate, privateKey } = readPem(pem);
    const commonName: unknown = certificate.toLegacyObject().subject?.CN;
    const whole = certificate.ca && certificate.checkPrivateKey(privateKey);
    // What it signs names it by both, which are written anew there.
    const named =
      typeof commonName === 'string' &&
      certificate.raw.includes(nameOf(commonName)) &&
      certificate.raw.includes(keyIdOf(certificate.publicKey));
    if (!whole || !named) {
      const text = 'that is no authority with its key, as "hawser kme certs" makes it';
      throw new HawserError('ERR_HAWSER_ARGUMENT', text);
    }
    return new CertificateAuthority({ certificate: certificate.toString(), privateKey }, commonName);
  }

  /**
   * A KME's certificate, for its HTTPS server.
   *
   * @param options `id` becomes the common name; `hosts` are names and addresses beside localhost, 127.0.0.1 and ::1; `days` 365 by default,
   * and never beyond the authority's own.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  kme(options: {
    /** Names the document in its index. */
    readonly id: string;
    readonly hosts?: readonly string[];
    readonly days?: number;
  }): Identity {
    const hosts = checkArray('hosts', options.hosts ?? [], 0, maxHosts).map((host, at) =>
      checkHost(`hosts[${at}]`, host),
    );
    const names = [...new Set([...localHosts, ...hosts])].map(generalName);
    return this.#issueTo(options, oids.serverAuth, [
      extension(oids.subjectAltName, false, der.sequence(...names)),
    ]);
  }

  /**
   * An SAE's certificate, by which KMEs know its id.
   *
   * @param options as for `kme`.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  sae(options: { readonly id: string; readonly days?: number }): Identity {
    return this.#issueTo(options, oids.clientAuth, []);
  }

  #issueTo(
    options: { readonly id: string; readonly days?: number },
    purpose: string,
    extensions: readonly Buffer[],
  ): Identity {
    const subject = checkText('id', options.id, maxNameBytes);
    const days = checkDays(options.days ?? defaultDays);
    const { publicKey, privateKey } = generateKeys();
    const certificate = issue({
      subject,
      issuer: this.#name,
      publicKey,
      signer: this.privateKey,
      endMs: Math.min(Date.now() + days * dayMs, this.#endMs),
      extensions: [
        extension(oids.basicConstraints, true, der.sequence()),
        // digitalSignature: bit 0.
        extension(oids.keyUsage, true, der.bitString(Buffer.of(0b1000_0000), 7)),
        extension(oids.extKeyUsage, false, der.sequence(der.objectIdentifier(purpose))),
        extension(oids.subjectKeyIdentifier, false, der.octetString(keyIdOf(publicKey))),
        extension(oids.authorityKeyIdentifier, false, der.sequence(der.implicit(0, this.#keyId))),
        ...extensions,
      ],
    });
    return { certificate, privateKey };
  }
}

function checkDays(days: unknown): number {
  return checkInteger('days', days, 1, maxDays);
}

function checkHost(name: string, value: unknown): string {
  const host = checkString(name, value, 1, 253);
  if (isIP(host) !== 0 || /^(?:[a-z\d_](?:[a-z\d_-]*[a-z\d_])?\.)*[a-z\d](?:[a-z\d-]*[a-z\d])?$/i.test(host))
    return host;
  throw argumentError(name, 'a host name or an IP address', describe(host));
}

function generateKeys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

function readPem({
  certificate,
  privateKey,
}: {
  readonly certificate: string | Uint8Array;
  readonly privateKey: string | Uint8Array;
}): { readonly certificate: X509Certificate; readonly privateKey: KeyObject } {
  try {
    return {
      certificate: new X509Certificate(certificate),
      privateKey: createPrivateKey(typeof privateKey === 'string' ? privateKey : Buffer.from(privateKey)),
    };
  } catch {
    // Without the cause, which may repeat what it read.
    throw new HawserError(
      'ERR_HAWSER_ARGUMENT',
      'the authority must be a certificate and a private key as PEM',
    );
  }
}
