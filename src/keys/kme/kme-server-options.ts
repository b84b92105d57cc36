// What a development KME is made with, checked.

import {
  argumentError,
  checkArray,
  checkFunction,
  checkInteger,
  checkOptions,
  checkString,
  checkText,
  describe,
} from '../../base/check.js';
import { type Random, systemRandom } from '../../base/random.js';
import type { KmeFault } from './faults.js';
import { KeyPool } from './key-pool.js';
import { type KmeMethod, maxIdBytes } from './methods.js';
import { checkPem } from './pem.js';

/** Options of {@link KmeServer}. */
export interface KmeServerOptions {
  /** Its id: `source_KME_ID`. */
  readonly kmeId: string;
  /** The other of the pair: `target_KME_ID`. */
  readonly targetKmeId: string;
  /** What it delivers; both of a pair have the same. It stays open when the server closes. */
  readonly pool: KeyPool;
  /** The address to listen at, `127.0.0.1` by default. */
  readonly host?: string;
  /** 0, which is the default, for any. */
  readonly port?: number;
  /** The certificates of the authorities that may vouch for SAEs, as PEM. */
  readonly ca: string | Uint8Array;
  /** Its own certificate, as PEM. */
  readonly cert: string | Uint8Array;
  /** Its private key, as PEM. */
  readonly key: string | Uint8Array;
  /** The SAEs that it serves; by default all that have a certificate. */
  readonly saeIds?: readonly string[];
  /** What it does wrong on purpose; nothing by default. */
  readonly faults?: readonly KmeFault[];
  /** At a time: 1 to 65,536; 1024 by default. */
  readonly maxConnections?: number;
  /** Where the chance of faults comes from. */
  readonly random?: Random;
  /** Told of each request once it is answered, or broken off. */
  readonly onRequest?: (request: ServedRequest) => void;
  /** Told of each connection whose certificate, or lack of one, was refused. @param reason fit to be printed. */
  readonly onRefused?: (reason: string) => void;
}

/** One request, without any key. */
export interface ServedRequest {
  /** By its certificate; undefined where that has no id. */
  readonly saeId: string | undefined;
  /** Undefined where the path is that of none. */
  readonly method: KmeMethod | undefined;
  /** The other SAE of the request, where it could be read. */
  readonly peerSaeId: string | undefined;
  /** Null when the connection was closed without an answer. */
  readonly status: number | null;
  /** How many keys were delivered, and lost with `drop-after`. */
  readonly keys: number;
  /** What was said of a refusal; '' for none. */
  readonly message: string;
  /** Which faults struck. */
  readonly faults: readonly string[];
  /** How long the answer took. */
  readonly durationMs: number;
}

/** The options, checked and complete. */
export interface KmeServerSettings
  extends Required<Omit<KmeServerOptions, 'ca' | 'cert' | 'key' | 'saeIds'>> {
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Undefined for all. */
  readonly saeIds: ReadonlySet<string> | undefined;
}

const names = [
  'kmeId',
  'targetKmeId',
  'pool',
  'host',
  'port',
  'ca',
  'cert',
  'key',
  'saeIds',
  'faults',
  'maxConnections',
  'random',
  'onRequest',
  'onRefused',
] as const;

const maxSaeIds = 100_000;
const maxFaults = 1024;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkKmeServerOptions(options: KmeServerOptions): KmeServerSettings {
  checkOptions('options', options, names);
  const ignore = (): void => undefined;
  const { faults = [], saeIds } = options;
  checkArray('faults', faults, 0, maxFaults);
  if (!(options.pool instanceof KeyPool)) throw argumentError('pool', 'a KeyPool', describe(options.pool));
  return {
    kmeId: checkText('kmeId', options.kmeId, maxIdBytes),
    targetKmeId: checkText('targetKmeId', options.targetKmeId, maxIdBytes),
    pool: options.pool,
    host: checkString('host', options.host ?? '127.0.0.1', 1, 255),
    port: checkInteger('port', options.port ?? 0, 0, 65_535),
    ca: checkPem('ca', options.ca),
    cert: checkPem('cert', options.cert),
    key: checkPem('key', options.key),
    saeIds: saeIds === undefined ? undefined : checkSaeIds(saeIds),
    faults,
    maxConnections: checkInteger('maxConnections', options.maxConnections ?? 1024, 1, 65_536),
    random: checkFunction('random', options.random ?? systemRandom),
    onRequest: checkFunction('onRequest', options.onRequest ?? ignore),
    onRefused: checkFunction('onRefused', options.onRefused ?? ignore),
  };
}

function checkSaeIds(saeIds: readonly string[]): ReadonlySet<string> {
  return new Set(
    checkArray('saeIds', saeIds, 0, maxSaeIds).map((id, at) => checkText(`saeIds[${at}]`, id, maxIdBytes)),
  );
}
