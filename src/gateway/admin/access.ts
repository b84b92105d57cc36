// Who may use the admin server: everybody who reaches it while it has no token, otherwise whoever brings that or has logged in with it.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../log/logger.js';
import { RequestError } from './answer.js';
import { Attempts } from './attempts.js';
import { LoginSessions, loginLifetimeMs } from './login-sessions.js';

const maxCookieHeader = 4096;
const logIntervalMs = 10_000;

/** The one token of an admin server, the logins made with it, and the mistakes. */
export class Access {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #attempts: Attempts;
  readonly #logins: LoginSessions;
  /** Of this process: digests under it have one length, and say nothing about the token. */
  readonly #digestKey = randomBytes(32);
  #digest: Buffer | undefined;
  /** Goes up when all that were let in are to ask again. */
  #generation = 0;
  #cookieName = 'hawser_admin';
  #unsaid = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  constructor(token: string | undefined, clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    this.#attempts = new Attempts(clock);
    this.#logins = new LoginSessions(clock);
    this.#digest = token === undefined ? undefined : this.#digestOf(token);
  }

  /** Whether a token is needed. */
  get isClosed(): boolean {
    return this.#digest !== undefined;
  }

  /** Cookies know no ports: those of two gateways on one machine must not be one. */
  usePort(port: number): void {
    this.#cookieName = `hawser_admin_${port}`;
  }

  /** Replaces the token. Where it is another one, whoever has logged in with the old one has to log in again. */
  setToken(token: string | undefined): void {
    const digest = token === undefined ? undefined : this.#digestOf(token);
    if (isSame(digest, this.#digest)) return;
    this.#digest = digest;
    this.#generation += 1;
    this.#logins.endAll();
  }

  /**
   * Lets a request in.
   *
   * @returns what says later whether it would be let in still, for answers that go on.
   * @throws RequestError 401 without the token or a login; 429 after too many wrong tokens from there.
   */
  admit(request: IncomingMessage): () => boolean {
    const generation = this.#generation;
    if (this.#digest === undefined) return () => this.#generation === generation;
    const given = bearerOf(request);
    if (given !== undefined) {
      if (!this.#check(given, request)) throw unauthorised('the token is wrong');
      return () => this.#generation === generation;
    }
    const login = this.#loginOf(request);
    if (login !== undefined && this.#logins.has(login)) return () => this.#logins.has(login);
    throw unauthorised('the token of admin.token is needed: Authorization: Bearer TOKEN');
  }

  /** Whether a request would be let in by its cookie, or since no token is needed. */
  isLoggedIn(request: IncomingMessage): boolean {
    if (this.#digest === undefined) return true;
    const login = this.#loginOf(request);
    return login !== undefined && this.#logins.has(login);
  }

  /**
   * @returns the Set-Cookie header of a new login; undefined when the token is wrong.
   * @throws RequestError 429 after too many wrong tokens from there.
   */
  logIn(token: string, request: IncomingMessage): string | undefined {
    if (!this.#check(token, request)) return undefined;
    return this.#cookie(this.#logins.begin(), Math.floor(loginLifetimeMs / 1000));
  }

  /** @returns the Set-Cookie header that takes the login away. */
  logOut(request: IncomingMessage): string {
    const login = this.#loginOf(request);
    if (login !== undefined) this.#logins.end(login);
    return this.#cookie('', 0);
  }

  /** Compares digests, in a time that does not depend on what is in them. */
  #check(given: string, request: IncomingMessage): boolean {
    const remote = request.socket.remoteAddress ?? '';
    const waitSeconds = this.#attempts.waitSeconds(remote);
    if (waitSeconds > 0) {
      throw new RequestError(429, `too many wrong tokens: try again in ${waitSeconds} s`, {
        'retry-after': String(waitSeconds),
      });
    }
    if (isSame(this.#digestOf(given), this.#digest)) return true;
    this.#attempts.count(remote);
    this.#complain(remote);
    return false;
  }

  #complain(remote: string): void {
    this.#unsaid += 1;
    const now = this.#clock.now();
    if (now - this.#saidMs < logIntervalMs) return;
    this.#log.warn({ remote, attempts: this.#unsaid }, 'wrong admin token');
    this.#saidMs = now;
    this.#unsaid = 0;
  }

  #digestOf(token: string): Buffer {
    return createHmac('sha256', this.#digestKey).update(token).digest();
  }

  #loginOf({ headers: { cookie = '' } }: IncomingMessage): string | undefined {
    if (cookie.length > maxCookieHeader) return undefined;
    const prefix = `${this.#cookieName}=`;
    const found = cookie.split(/; */).find((each) => each.startsWith(prefix));
    return found?.slice(prefix.length);
  }

  #cookie(value: string, maxAgeSeconds: number): string {
    return `${this.#cookieName}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict`;
  }
}

function bearerOf({ headers: { authorization } }: IncomingMessage): string | undefined {
  if (authorization === undefined) return undefined;
  return /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? '';
}

function isSame(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a !== undefined && b !== undefined ? timingSafeEqual(a, b) : a === b;
}

function unauthorised(message: string): RequestError {
  return new RequestError(401, message, { 'www-authenticate': 'Bearer realm="hawser"' });
}
