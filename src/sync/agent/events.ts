// What an agent tells its listeners, and what its calls can be given.

import type { StartOption } from '../wire/messages.js';
import type { LogCode, LogLevel, SyncProgress, SyncWaiting } from './results.js';
import type { AgentState } from './states.js';

/** The events of a `SyncAgent` with the arguments of their listeners. */
export interface SyncAgentEvents {
  /** The state is another (source document, "State Machine"). */
  stateChange: [from: AgentState, to: AgentState];
  /** How far the sync is: now and then while Data are sent, and when the manager has said something. */
  progress: [progress: SyncProgress];
  /** The manager has asked for a delay, which has begun. */
  waiting: [waiting: SyncWaiting];
  /** A line of the log. Of what the manager sends, only some of many are told. */
  log: [level: LogLevel, code: LogCode, message: string];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

/** What every call that syncs can be given. */
export interface SyncCallOptions {
  /** Ends the sync when it aborts: it results in `stopped`. */
  readonly signal?: AbortSignal;
}

/** Options of `SyncAgent.synchronizeModule`. */
export interface SynchronizeOptions extends SyncCallOptions {
  /** Carried in Start for managers that tell them apart; `Sync` by default. */
  readonly option?: StartOption;
}

/** What an agent has done since it was made. */
export interface SyncAgentStats {
  /** Syncs for which Start was sent. */
  readonly syncs: number;
  /** Syncs that succeeded. */
  readonly succeeded: number;
  /** Syncs that failed. */
  readonly failed: number;
  /** The items of those that succeeded. */
  readonly items: number;
  /** Of all messages with Data. */
  readonly bytes: number;
  /** Items that were sent again. */
  readonly retransmitted: number;
  /** Messages of the manager that had no place when they came. */
  readonly unexpected: number;
}
