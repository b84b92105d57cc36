// How SAEs reach each other, as the configuration has it: over a hawser connection that one of them accepts and the other makes.

import {
  argumentError,
  checkArray,
  checkInteger,
  checkOptions,
  checkString,
  describe,
} from '../../base/check.js';
import { type PathReader, readAddress, readId64 } from './config-values.js';

/** The side that is connected to. */
export interface ListenConfig {
  /** `host:port`, in canonical form. */
  readonly listen: string;
  /** The addresses under which peers reach it; empty for what is bound. */
  readonly public: readonly string[];
  /** A file with the server key. */
  readonly key: string;
  readonly protocolId: bigint;
}

/** The side that connects: with a token from a file, from a URL, or one that it mints itself. */
export type ConnectConfig =
  | { readonly tokenFile: string }
  | { readonly tokenUrl: string; readonly clientId: bigint }
  | {
      /** The gateway, or several addresses of it. */
      readonly to: readonly string[];
      /** A file with the server key. */
      readonly key: string;
      readonly clientId: bigint;
      readonly protocolId: bigint;
      /** Undefined for what tokens have by default. */
      readonly timeoutMs: number | undefined;
    };

const maxAddresses = 32;

export function readListen(name: string, value: unknown, path: PathReader): ListenConfig {
  const given = checkOptions(name, value, ['listen', 'public', 'key', 'protocolId']);
  return {
    listen: readAddress(`${name}.listen`, given.listen),
    public: given.public === undefined ? [] : readAddresses(`${name}.public`, given.public),
    key: path(`${name}.key`, given.key),
    protocolId: given.protocolId === undefined ? 1n : readId64(`${name}.protocolId`, given.protocolId),
  };
}

export function readConnect(name: string, value: unknown, path: PathReader): ConnectConfig {
  const known = ['tokenFile', 'tokenUrl', 'to', 'key', 'clientId', 'protocolId', 'timeoutMs'];
  const given = checkOptions(name, value, known);
  const ways = [given.tokenFile, given.tokenUrl, given.to].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw argumentError(name, 'an object with one of tokenFile, tokenUrl and to', describe(value));
  }
  if (given.tokenFile !== undefined) {
    checkOptions(name, value, ['tokenFile']);
    return { tokenFile: path(`${name}.tokenFile`, given.tokenFile) };
  }
  const clientId = readId64(`${name}.clientId`, given.clientId);
  if (given.tokenUrl !== undefined) {
    checkOptions(name, value, ['tokenUrl', 'clientId']);
    const tokenUrl = checkString(`${name}.tokenUrl`, given.tokenUrl, 1, 2048);
    if (!URL.canParse(tokenUrl)) throw argumentError(`${name}.tokenUrl`, 'a URL', describe(tokenUrl));
    return { tokenUrl, clientId };
  }
  return {
    to: readAddresses(`${name}.to`, given.to),
    key: path(`${name}.key`, given.key),
    clientId,
    protocolId: given.protocolId === undefined ? 1n : readId64(`${name}.protocolId`, given.protocolId),
    timeoutMs:
      given.timeoutMs === undefined
        ? undefined
        : checkInteger(`${name}.timeoutMs`, given.timeoutMs, 1000, 3_600_000),
  };
}

/** One address, or several. */
function readAddresses(name: string, value: unknown): readonly string[] {
  if (typeof value === 'string') return [readAddress(name, value)];
  return checkArray(name, value, 1, maxAddresses).map((each, index) =>
    readAddress(`${name}[${index}]`, each),
  );
}
