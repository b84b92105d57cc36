// What the parts of a session server have of each other.

import type { Clock } from '../../base/clock.js';
import type { ActionQueue } from './action-queue.js';
import type { Claims } from './claims.js';
import type { Creates } from './creates.js';
import type { SessionServerEvents } from './events.js';
import type { Expiry } from './expiry.js';
import type { ServerSettings } from './options.js';
import type { Ownership } from './ownership.js';
import type { Removals } from './removals.js';
import type { RequestExecutor } from './requests/request-executor.js';
import type { SessionLifecycle } from './session-lifecycle.js';
import type { SessionTable } from './session-table.js';
import type { Standing } from './standing.js';
import type { Strays } from './strays.js';
import type { Tally } from './tally.js';

export interface ServerContext {
  readonly settings: ServerSettings;
  readonly clock: Clock;
  readonly tally: Tally;
  readonly queue: ActionQueue;
  readonly table: SessionTable;
  readonly standing: Standing;
  readonly requests: RequestExecutor;
  readonly lifecycle: SessionLifecycle;
  readonly expiry: Expiry;
  readonly removals: Removals;
  readonly ownership: Ownership;
  readonly strays: Strays;
  readonly creates: Creates;
  readonly claims: Claims;
  /** Tells the listeners of an event. */
  tell<K extends keyof SessionServerEvents>(event: K, ...args: SessionServerEvents[K]): void;
  /** Tells an error of the store that trying again does not mend. */
  storeFailed(error: unknown): void;
}
