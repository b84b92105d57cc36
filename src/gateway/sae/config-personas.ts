// Devices, as the configuration of an SAE has them (docs/keys-personas.md says what each does).

import {
  argumentError,
  checkArray,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  describe,
} from '../../base/check.js';
import type { PathReader } from './config-values.js';

/** A device, or a program that stands for one. */
export type PersonaConfig =
  | { readonly type: 'transport'; readonly requireKeyMs: number | undefined }
  | {
      readonly type: 'wireguard';
      readonly interface: string;
      /** The public keys of WireGuard by the id of the SAE, in its own form: base64. */
      readonly peers: Readonly<Record<string, string>>;
    }
  | {
      readonly type: 'exec';
      readonly command: readonly string[];
      readonly encoding: 'binary' | 'base64';
    }
  | { readonly type: 'file'; readonly directory: string; readonly encoding: 'binary' | 'base64' };

const types = ['transport', 'wireguard', 'exec', 'file'] as const;
const maxArguments = 64;
const maxArgumentLength = 4096;
/** IFNAMSIZ of Linux, without the zero at the end. */
const maxInterfaceLength = 15;

export function readPersona(name: string, value: unknown, path: PathReader): PersonaConfig {
  const settings = ['requireKeyMs', 'interface', 'peers', 'command', 'encoding', 'directory'];
  const { type } = checkOptions(name, value, ['type', ...settings]);
  switch (checkOneOf(`${name}.type`, type, types)) {
    case 'transport': {
      const { requireKeyMs } = checkOptions(name, value, ['type', 'requireKeyMs']);
      return {
        type: 'transport',
        requireKeyMs:
          requireKeyMs === undefined
            ? undefined
            : checkInteger(`${name}.requireKeyMs`, requireKeyMs, 1, 3_600_000),
      };
    }
    case 'wireguard': {
      const given = checkOptions(name, value, ['type', 'interface', 'peers']);
      return {
        type: 'wireguard',
        interface: checkString(`${name}.interface`, given.interface, 1, maxInterfaceLength),
        peers: readPublicKeys(`${name}.peers`, given.peers),
      };
    }
    case 'exec': {
      const given = checkOptions(name, value, ['type', 'command', 'encoding']);
      return {
        type: 'exec',
        command: checkArray(`${name}.command`, given.command, 1, maxArguments).map((each, index) =>
          checkString(`${name}.command[${index}]`, each, index === 0 ? 1 : 0, maxArgumentLength),
        ),
        encoding: readEncoding(`${name}.encoding`, given.encoding),
      };
    }
    case 'file': {
      const given = checkOptions(name, value, ['type', 'directory', 'encoding']);
      return {
        type: 'file',
        directory: path(`${name}.directory`, given.directory),
        encoding: readEncoding(`${name}.encoding`, given.encoding),
      };
    }
  }
}

function readEncoding(name: string, value: unknown): 'binary' | 'base64' {
  return value === undefined ? 'binary' : checkOneOf(name, value, ['binary', 'base64']);
}

function readPublicKeys(name: string, value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw argumentError(name, 'an object with a public key of WireGuard for each SAE', describe(value));
  }
  // No prototype, so that any id is only an id.
  const keys: Record<string, string> = Object.create(null);
  for (const [saeId, key] of Object.entries(value)) {
    keys[saeId] = checkString(`${name}[${describe(saeId)}]`, key, 1, 64);
  }
  return keys;
}
