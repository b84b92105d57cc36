// The parts of a session server, put together.

import type { Clock } from '../../base/clock.js';
import type { Compare } from '../store/store.js';
import { ActionQueue } from './action-queue.js';
import { Claims } from './claims.js';
import { Creates } from './creates.js';
import type { SessionServerEvents } from './events.js';
import { Expiry } from './expiry.js';
import type { ServerSettings } from './options.js';
import { Ownership } from './ownership.js';
import { Removals } from './removals.js';
import { RequestExecutor } from './requests/request-executor.js';
import type { ServerContext } from './server-context.js';
import type { RequestHost } from './session.js';
import { SessionLifecycle } from './session-lifecycle.js';
import { SessionTable } from './session-table.js';
import { Standing } from './standing.js';
import { Strays } from './strays.js';
import { Tally } from './tally.js';

/** What they need of the server itself. */
export interface CoreHost {
  /** Tells the listeners of an event; does not throw. */
  tell<K extends keyof SessionServerEvents>(event: K, ...args: SessionServerEvents[K]): void;
  /** Tells an error that the other side, or the store, can bring about: it must not end the process. */
  failed(error: unknown, source: string): void;
}

export class ServerCore implements ServerContext {
  readonly settings: ServerSettings;
  readonly clock: Clock;
  readonly tally: Tally = new Tally();
  readonly queue: ActionQueue;
  readonly table: SessionTable = new SessionTable();
  readonly lifecycle: SessionLifecycle;
  readonly expiry: Expiry;
  readonly removals: Removals;
  readonly ownership: Ownership;
  readonly strays: Strays;
  readonly creates: Creates;
  readonly claims: Claims;
  readonly requests: RequestExecutor;
  readonly standing: Standing;
  readonly tell: ServerContext['tell'];
  readonly storeFailed: ServerContext['storeFailed'];

  constructor(settings: ServerSettings, host: CoreHost) {
    this.settings = settings;
    this.clock = settings.wheel.clock;
    this.tell = (event, ...args) => host.tell(event, ...args);
    this.storeFailed = (error) => host.failed(error, 'store');
    this.queue = new ActionQueue(this.clock, (error) => host.failed(error, 'action'));
    this.lifecycle = new SessionLifecycle(this);
    this.expiry = new Expiry(this);
    this.removals = new Removals(this);
    this.ownership = new Ownership(this);
    this.strays = new Strays(this);
    this.creates = new Creates(this);
    this.claims = new Claims(this);
    this.requests = new RequestExecutor(this.#requestHost(host));
    this.standing = new Standing(this);
  }

  #requestHost(host: CoreHost): RequestHost {
    return {
      settings: this.settings,
      store: this.settings.store,
      fences: (): readonly Compare[] | undefined => this.standing.fences(),
      session: (id) => this.table.get(id),
      send: ({ id }, message) => this.table.get(id)?.link?.send(message),
      ownerChanged: ({ id }) => {
        const session = this.table.get(id);
        if (session !== undefined) this.ownership.verify(session);
      },
      fenced: () => this.standing.fenced(),
      enqueue: (run) => this.queue.enqueue(run),
      handlerError: (error, source) => host.failed(error, source),
    };
  }
}
