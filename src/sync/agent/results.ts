// What the calls of an agent result in, and what it says on the way.

import type { Reason } from '../wire/messages.js';

/**
 * Why a sync failed:
 * - `InvalidMode`: the call is not for that mode. - `NoIndices`: there is nothing to clean. - `Busy`: another sync is under way.
 * - `NoQueue`: the agent was made without one. - `QueueFailed`: the queue could not be read or written.
 * - `NotConnected`: there was no connection to begin with. - `Disconnected`: it was lost.
 * - `NoGroups`: the metadata name no groups. - `InvalidStart`: metadata or indices are in no Start.
 * - `StartTimeout`, `EndTimeout`: the manager did not answer, however often it was asked.
 * - `Offline`: the manager cannot now. - `Refused`: it answered with an error; `managerReason` may say which.
 * - `ChecksumMismatch`: the checksums differ. - `StaleGeneration`: the manager has seen later data of this module, twice.
 * - `SessionLost`: the manager forgot the session each time. - `NoProgress`: it asked for the same Data again and again.
 * - `Protocol`: it answered what makes no sense. - `TooLong`: the connection does not take messages of that length.
 * - `SendFailed`: the connection is not over, and sends nothing: its `send` threw what no loss explains.
 */
export type SyncFailure =
  | 'InvalidMode'
  | 'NoIndices'
  | 'Busy'
  | 'NoQueue'
  | 'QueueFailed'
  | 'NotConnected'
  | 'Disconnected'
  | 'NoGroups'
  | 'InvalidStart'
  | 'StartTimeout'
  | 'EndTimeout'
  | 'Offline'
  | 'Refused'
  | 'ChecksumMismatch'
  | 'StaleGeneration'
  | 'SessionLost'
  | 'NoProgress'
  | 'Protocol'
  | 'TooLong'
  | 'SendFailed';

/** How a sync ended. */
export interface SyncResult {
  /** The manager has everything, applied and on its disk; or there was nothing to tell it. */
  readonly success: boolean;
  /** For people; '' unless it failed. */
  readonly failureReason: string;
  /** Undefined unless it failed. */
  readonly reason: SyncFailure | undefined;
  /** What the manager gave as its reason; `None` when it gave none. */
  readonly managerReason: Reason;
  /** `stop`, `close` or the signal of the call ended it: neither a success nor a failure. */
  readonly stopped: boolean;
  /** It failed because the manager could not be reached, did not answer or could not now: another time it may. */
  readonly managerNotReady: boolean;
  /** How many syncs of this module in a row failed after Start was sent. */
  readonly consecutiveFailures: number;
  /** The items of the session, those included that it did not come to send; of all sessions until then, where a DELTA took several. */
  readonly items: number;
  /** Those of them that the manager has gone through with, all of them after a success: a DELTA may fail after some of its sessions. */
  readonly toldItems: number;
  /** Of all messages with Data that were sent, those that were sent again included. */
  readonly bytes: number;
  /** Items that were sent again. */
  readonly retransmitted: number;
  /** The share of `bytes` that is messages with items that were sent again. */
  readonly retransmittedBytes: number;
  /** Items that the manager did not apply, by its own count, which is at most that of the items: invalid, or of an index that it does not allow. */
  readonly rejected: number;
  /** Another sync of the module was under way, which was left alone: nothing was done. */
  readonly skipped: boolean;
}

/** What `requiresFullSync` finds: `unknown` when the manager did not say. */
export type ChecksumVerdict = 'valid' | 'mismatch' | 'unknown';

/** How far a sync is. */
export interface SyncProgress {
  /** The items of the session; of all sessions of the call, where a DELTA takes several. */
  readonly size: number;
  /** Items that were sent, each counted once. */
  readonly sent: number;
  /** Items that the manager is known to have: all before the first that it misses. */
  readonly acknowledged: number;
  /** As in {@link SyncResult}. */
  readonly bytes: number;
  /** Items that were sent again. */
  readonly retransmitted: number;
}

/** The manager has asked for a delay. */
export interface SyncWaiting {
  /** For how many milliseconds the agent waits now. */
  readonly retryAfterMs: number;
  /** Why the manager asks for it. */
  readonly reason: Reason;
}

/** As in the source document, "Protocol Errors". */
export type LogLevel = 'error' | 'warning' | 'info' | 'debug';

/**
 * What a line of the log is about:
 * - `Malformed`: what came is no message. - `Unexpected`: a message has no place here. - `WrongSession`: it is of another session.
 * - `Late`: the answer to what was answered already. - `Refused`: the manager refused. - `Resent`: no answer in time, so asked again.
 * - `Waiting`: the manager asked for a delay. - `Metadata`: the metadata are not there. - `Queue`: the queue failed.
 * - `Failed`: a sync failed. - `Retransmission`: the manager asked for Data again. - `Connection`: it threw what no loss explains.
 */
export type LogCode =
  | 'Malformed'
  | 'Unexpected'
  | 'WrongSession'
  | 'Late'
  | 'Refused'
  | 'Resent'
  | 'Waiting'
  | 'Metadata'
  | 'Queue'
  | 'Failed'
  | 'Retransmission'
  | 'Connection';

/** Takes a line of the log. */
export type Log = (level: LogLevel, code: LogCode, message: string) => void;
