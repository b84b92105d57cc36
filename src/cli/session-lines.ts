// Which sessions of a manager are told one by one: every one that brought something; of those that failed or brought nothing, which an
// agent can have without end, some of each agent, and how many more there were.

import { TokenBucket } from '../base/token-bucket.js';
import type { SessionEnded } from '../sync/manager/events.js';

/** Of each agent: so many at once, and one more each second. */
const burst = 20;
const perSecond = 1;
/** How often it is said how many were not told. */
const everyMs = 10_000;
/** So many agents are looked at one by one between two such times; all others share one bucket. */
const maxAgents = 10_000;
const others = '(others)';

interface Account {
  readonly bucket: TokenBucket;
  untold: number;
}

/** Who is told of sessions. */
export interface SessionListener {
  readonly session: (ended: SessionEnded) => void;
  /** So many more of that agent have failed, or brought nothing. */
  readonly untold: (agent: string, sessions: number) => void;
}

export class SessionLines {
  readonly #listener: SessionListener;
  readonly #nowMs: () => number;
  readonly #accounts = new Map<string, Account>();
  readonly #timer: NodeJS.Timeout;

  /** @param nowMs of a clock that does not go back. */
  constructor(listener: SessionListener, nowMs: () => number = () => performance.now()) {
    this.#listener = listener;
    this.#nowMs = nowMs;
    this.#timer = setInterval(() => this.settle(), everyMs);
    this.#timer.unref();
  }

  /** A session has ended. */
  ended(session: SessionEnded): void {
    if (session.status === 'Ok' && session.size > 0) {
      this.#listener.session(session);
      return;
    }
    const account = this.#account(session.agent);
    if (account.bucket.take(1, this.#nowMs())) this.#listener.session(session);
    else ++account.untold;
  }

  /** Says what was not told until now, and forgets the agents of whom there is nothing more to know. */
  settle(): void {
    for (const [agent, account] of this.#accounts) {
      if (account.untold > 0) this.#listener.untold(agent, account.untold);
      account.untold = 0;
      if (account.bucket.available(this.#nowMs()) === burst) this.#accounts.delete(agent);
    }
  }

  /** Says what was not told, for the last time. */
  end(): void {
    clearInterval(this.#timer);
    this.settle();
  }

  #account(agent: string): Account {
    const name = this.#accounts.has(agent) || this.#accounts.size < maxAgents ? agent : others;
    let account = this.#accounts.get(name);
    if (account === undefined) {
      account = { bucket: new TokenBucket(perSecond, burst, this.#nowMs()), untold: 0 };
      this.#accounts.set(name, account);
    }
    return account;
  }
}
