// Who is logged in to the dashboard: a browser holds a random id in a cookie, never the token.

import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.js';

const idBytes = 32;
/** Within which an operator logs in anew. */
export const loginLifetimeMs: number = 12 * 3_600_000;
/** The oldest gives way. */
const maxLogins = 256;

/** Logins that last twelve hours at most. Only hashes of their ids are kept, so that finding one takes no secret-dependent time. */
export class LoginSessions {
  readonly #clock: Clock;
  /** The end of each, in the order of their beginnings. */
  readonly #ends = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the id of a new one: 43 characters of base64url. */
  begin(): string {
    this.#forgetExpired();
    const oldest = this.#ends.keys().next().value;
    if (this.#ends.size >= maxLogins && oldest !== undefined) this.#ends.delete(oldest);
    const id = randomBytes(idBytes).toString('base64url');
    this.#ends.set(hashOf(id), this.#clock.now() + loginLifetimeMs);
    return id;
  }

  /** Whether it began and has not ended. */
  has(id: string): boolean {
    const end = this.#ends.get(hashOf(id));
    return end !== undefined && end > this.#clock.now();
  }

  end(id: string): void {
    this.#ends.delete(hashOf(id));
  }

  endAll(): void {
    this.#ends.clear();
  }

  #forgetExpired(): void {
    const now = this.#clock.now();
    for (const [hash, end] of this.#ends) {
      if (end > now) return;
      this.#ends.delete(hash);
    }
  }
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url');
}
