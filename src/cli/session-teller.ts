// What `hawser gateway` tells of its sessions as it happens: whether it serves them, who leads, and what fails.

import { TokenBucket } from '../base/token-bucket.js';
import type { SessionServer } from '../sessions/server/session-server.js';
import { describeError } from './errors.js';
import { printEvent } from './gateway-status.js';
import { printable } from './terminal.js';

/** Errors of handlers, which clients can bring about: so many at once, and one more each second. */
const burst = 20;
const perSecond = 1;

/** Tells in lines of JSON, or in lines for people; errors to those on standard error. */
export class SessionTeller {
  readonly #server: SessionServer;
  readonly #json: boolean;
  readonly #bucket: TokenBucket = new TokenBucket(perSecond, burst, performance.now());
  #untold = 0;
  #isTelling = false;
  /** What was heard before `begin`. */
  readonly #heard = new Map<'serving' | 'leader', () => void>();

  /** Tells of errors from now on. */
  constructor(server: SessionServer, json: boolean) {
    this.#server = server;
    this.#json = json;
    server.on('serving', (serving) => this.#tell('serving', () => this.#serving(serving)));
    server.on('leader', (advertise, isThisOne) =>
      this.#tell('leader', () => this.#leader(advertise, isThisOne)),
    );
    server.on('listenerError', (error, source) => this.#error(error, source));
  }

  /** Tells of the rest too: first how it stands. */
  begin(): void {
    this.#isTelling = true;
    for (const tell of this.#heard.values()) tell();
    this.#heard.clear();
  }

  /** That a gateway which closes serves no more is no news. */
  end(): void {
    this.#isTelling = false;
  }

  #tell(what: 'serving' | 'leader', tell: () => void): void {
    if (this.#isTelling) tell();
    else this.#heard.set(what, tell);
  }

  #serving(serving: boolean): void {
    if (this.#json) printEvent({ event: 'serving', serving });
    else process.stdout.write(`${serving ? 'sessions are served' : notServing(this.#server)}\n`);
  }

  #leader(advertise: string | undefined, isThisOne: boolean): void {
    if (this.#json) printEvent({ event: 'leader', leader: advertise ?? null, isThisOne });
    else process.stdout.write(`${leaderText(advertise, isThisOne)}\n`);
  }

  #error(error: unknown, source: string): void {
    if (!this.#bucket.take(1, performance.now())) {
      ++this.#untold;
      return;
    }
    const untold = this.#untold;
    this.#untold = 0;
    const message = describeError(error);
    if (this.#json) printEvent({ event: 'log', level: 'error', source, message, untold });
    else process.stderr.write(`${source} failed: ${message}${untold === 0 ? '' : ` (and ${untold} more)`}\n`);
  }
}

function notServing({ stats }: SessionServer): string {
  return stats.leaseValid
    ? 'sessions are not served: another gateway leads'
    : 'sessions are not served: the store cannot be reached; heartbeats are answered';
}

/** @param advertise what another gateway says of itself. */
function leaderText(advertise: string | undefined, isThisOne: boolean): string {
  if (isThisOne) return 'this gateway leads';
  if (advertise === undefined) return 'no gateway leads';
  return `${advertise === '' ? 'another gateway' : printable(advertise)} leads`;
}
