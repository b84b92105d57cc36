// The server keys of a gateway: those of its configuration, that of the environment, or one that is made.

import { generateKey, parseKey, type ServerKey } from '../token/server-key.js';
import { configError } from './config-values.js';
import type { GatewayPlan } from './plan.js';
import { readSecret, type SecretWarning } from './secrets.js';

export interface ServerKeys {
  /** At least one; the first for new tokens. */
  readonly keys: readonly [ServerKey, ...ServerKey[]];
  /** It was made for this run: nobody else has it. */
  readonly made: boolean;
}

/**
 * Reads them.
 *
 * @param made one that was made before, which stays; undefined at the start.
 * @throws HawserError ERR_HAWSER_CONFIG that repeats nothing of them.
 */
export function readServerKeys(
  { keys: places, base }: Pick<GatewayPlan, 'keys' | 'base'>,
  made: ServerKey | undefined,
  warn: SecretWarning,
): ServerKeys {
  const environment = process.env.HAWSER_KEY;
  if (places === undefined) {
    if (environment === undefined || environment === '') return { keys: [made ?? generateKey()], made: true };
    return { keys: [parse('HAWSER_KEY', environment)], made: false };
  }
  const keys = places.map((place, index) => {
    const name = `keys[${index}]`;
    return parse(name, readSecret(name, place, base, warn));
  });
  const twin = keys.findIndex(({ id }, index) => keys.findIndex((other) => other.id === id) < index);
  const id = keys[twin]?.id;
  if (id !== undefined) {
    const first = keys.findIndex((other) => other.id === id);
    throw configError(
      `keys[${twin}] has the id ${id}, as keys[${first}]: which of them opens a token must be certain`,
    );
  }
  const [first, ...others] = keys;
  if (first === undefined) throw configError('keys must be an array of 1 to 64');
  return { keys: [first, ...others], made: false };
}

function parse(name: string, text: string): ServerKey {
  try {
    return parseKey(text.trim());
  } catch {
    throw configError(
      `${name}: not a server key of the form hawser-key-1:<id>:<43 characters>; "hawser keygen" makes one`,
    );
  }
}
