// What a KME client is made with, checked.

import { Agent } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import {
  argumentError,
  checkFunction,
  checkInteger,
  checkOptions,
  checkString,
  checkText,
  describeSecret,
} from '../../base/check.js';
import { type Clock, systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type Random, systemRandom } from '../../base/random.js';
import { maxIdBytes } from './methods.js';
import { checkPem } from './pem.js';

/** Options of {@link KmeClient}. Times are in milliseconds. */
export interface KmeClientOptions {
  /** Where the KME is: `https://host:port`, and a path in front of `/api/v1/keys` if it has one. */
  readonly url: string;
  /** The certificates of the authorities that may vouch for the KME, as PEM. No others do, those of the system included. */
  readonly ca: string | Uint8Array;
  /** The certificate of this SAE, by which the KME knows its id, as PEM, with those between it and its authority. */
  readonly cert: string | Uint8Array;
  /** Its private key, as PEM. Bytes are not needed after this, and may be overwritten. */
  readonly key: string | Uint8Array;
  /**
   * The id of the KME: its certificate must have it as common name or DNS name. Without, the certificate must be of the host of `url`
   * (ETSI GS QKD 014 clause 5.1).
   */
  readonly kmeId?: string;
  /** How long a connection may take, with its TLS handshake: 10 to 600,000; 5000 by default. */
  readonly connectTimeoutMs?: number;
  /** How long one request for status or new keys may take before another is made: 10 to 600,000; 10,000 by default. */
  readonly answerTimeoutMs?: number;
  /** How long a call may take with all its requests: 10 to 600,000; 30,000 by default. */
  readonly timeoutMs?: number;
  /** How many requests a call makes at most when the KME cannot serve it now: 1 to 100; 5 by default. */
  readonly maxAttempts?: number;
  /** The delay before the second of them, which is doubled for each further one, up to 5000: 1 to 60,000; 250 by default. */
  readonly retryMs?: number;
  /** How long the limits of a status are relied upon: 0 to 86,400,000; 300,000 by default. */
  readonly statusMaxAgeMs?: number;
  /** What time-outs are measured by; the system's by default. */
  readonly clock?: Clock;
  /** The chance of the delays between attempts; the system's by default. */
  readonly random?: Random;
}

/** The options, checked and complete. */
export interface KmeClientSettings
  extends Required<Omit<KmeClientOptions, 'url' | 'ca' | 'cert' | 'key' | 'kmeId'>> {
  readonly origin: string;
  readonly host: string;
  readonly port: number;
  /** What comes before the paths of the methods; '' in the usual case. */
  readonly prefix: string;
  readonly kmeId: string | undefined;
  /** Keeps connections for further requests. */
  readonly keptAgent: Agent;
  /** Makes one for each request. */
  readonly freshAgent: Agent;
}

const names = [
  'url',
  'ca',
  'cert',
  'key',
  'kmeId',
  'connectTimeoutMs',
  'answerTimeoutMs',
  'timeoutMs',
  'maxAttempts',
  'retryMs',
  'statusMaxAgeMs',
  'clock',
  'random',
] as const;

const minTimeoutMs = 10;
const maxTimeoutMs = 600_000;
const defaultPort = 443;
const maxUrlLength = 2048;
/** At a time, to one KME. */
const maxConnections = 16;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkKmeClientOptions(options: KmeClientOptions): KmeClientSettings {
  checkOptions('options', options, names);
  const url = checkUrl(options.url);
  const ms = (name: 'connectTimeoutMs' | 'answerTimeoutMs' | 'timeoutMs', fallback: number): number =>
    checkInteger(name, options[name] ?? fallback, minTimeoutMs, maxTimeoutMs);
  const { clock = systemClock, random = systemRandom } = options;
  checkFunction('clock.setTimeout', clock.setTimeout);
  return {
    origin: url.origin,
    // In a URL an IPv6 address is in brackets.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? defaultPort : Number(url.port),
    prefix: url.pathname.replace(/\/$/, ''),
    kmeId: options.kmeId === undefined ? undefined : checkText('kmeId', options.kmeId, maxIdBytes),
    connectTimeoutMs: ms('connectTimeoutMs', 5000),
    answerTimeoutMs: ms('answerTimeoutMs', 10_000),
    timeoutMs: ms('timeoutMs', 30_000),
    maxAttempts: checkInteger('maxAttempts', options.maxAttempts ?? 5, 1, 100),
    retryMs: checkInteger('retryMs', options.retryMs ?? 250, 1, 60_000),
    statusMaxAgeMs: checkInteger('statusMaxAgeMs', options.statusMaxAgeMs ?? 300_000, 0, 86_400_000),
    clock,
    random: checkFunction('random', random),
    ...agents(options),
  };
}

function checkUrl(given: unknown): URL {
  const rule = "a URL such as 'https://kme.example:8443', without a user, a query and a fragment";
  const text = checkString('url', given, 1, maxUrlLength);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const parts = url && [url.username, url.password, url.search, url.hash];
  // What is refused may hold a password.
  if (url?.protocol !== 'https:' || parts?.some((part) => part !== '') !== false) {
    throw argumentError('url', rule, describeSecret(text));
  }
  return url;
}

function agents(options: KmeClientOptions): { readonly keptAgent: Agent; readonly freshAgent: Agent } {
  const [ca, cert, key] = [
    checkPem('ca', options.ca),
    checkPem('cert', options.cert),
    checkPem('key', options.key),
  ];
  let secureContext: SecureContext;
  try {
    // An agent by itself would read them with each connection, and keep the bytes of the key for that.
    secureContext = createSecureContext({ ca, cert, key, minVersion: 'TLSv1.2' });
  } catch (cause) {
    throw new HawserError('ERR_HAWSER_ARGUMENT', 'ca, cert and key must be PEM that TLS can use', { cause });
  } finally {
    if (typeof key !== 'string') key.fill(0);
  }
  return {
    keptAgent: new Agent({ secureContext, maxSockets: maxConnections, keepAlive: true }),
    freshAgent: new Agent({ secureContext, maxSockets: maxConnections, keepAlive: false }),
  };
}
