// What a manager tells of its work.

import type { LogLevel } from '../agent/results.js';
import type { Mode, Reason, Status } from '../wire/messages.js';

/**
 * What a line of a manager's log is about:
 * - `Malformed`: what came is no message. - `Unexpected`: a message that has no place here. - `UnknownSession`: it is of a session that the
 *   manager does not know. - `ForeignSession`: it is of another agent's session.
 * - `Refused`: a Start was refused. - `Superseded`: a newer Start ended a session. - `Expired`: nothing new came of a session for too long.
 * - `BeyondSize`: items whose sequence numbers the session does not have. - `InvalidOperation`: an item with an unknown operation.
 * - `TooManyBytes`: Data that may not be staged. - `NoProgress`: Data were asked for again too often. - `GaveWay`: others waited, and hardly
 *   anything came of a session.
 * - `RejectedItems`: items that were not applied. - `IndexNotAllowed`: an index that the agent may not write, or ask about.
 * - `Store`: the store failed. - `Hook`: a function of the application failed. - `Suppressed`: lines that were not told, for there were too many.
 */
export type ManagerLogCode =
  | 'Malformed'
  | 'Unexpected'
  | 'UnknownSession'
  | 'ForeignSession'
  | 'Refused'
  | 'Superseded'
  | 'Expired'
  | 'BeyondSize'
  | 'InvalidOperation'
  | 'TooManyBytes'
  | 'NoProgress'
  | 'GaveWay'
  | 'RejectedItems'
  | 'IndexNotAllowed'
  | 'Store'
  | 'Hook'
  | 'Suppressed';

/** A session has begun, or goes on. */
export interface SessionStarted {
  /** Whose it is. */
  readonly agent: string;
  /** The module that it is of. */
  readonly module: string;
  /** What kind of session it is. */
  readonly mode: Mode;
  /** How many items it has. */
  readonly size: number;
  /** Whether the manager had it before: the agent, or the manager, has come back. */
  readonly resumed: boolean;
}

/** A session is over. */
export interface SessionEnded {
  /** Whose it was. */
  readonly agent: string;
  /** The module that it is of. */
  readonly module: string;
  /** What kind of session it is. */
  readonly mode: Mode;
  /** How many items it had. */
  readonly size: number;
  /** Items that were applied, and those that were not. */
  readonly applied: number;
  /** Items that were not applied. */
  readonly rejected: number;
  /** Since it began; of one that the manager found when it was made, since then. */
  readonly durationMs: number;
  /** What the agent is told. */
  readonly status: Status;
  /** Why it failed; `None` when it did not. */
  readonly reason: Reason;
}

/** How far a session with Data is. */
export interface SessionProgress {
  /** Whose it is. */
  readonly agent: string;
  /** The module that it is of. */
  readonly module: string;
  /** How many items it has. */
  readonly size: number;
  /** Items that have arrived. */
  readonly received: number;
  /** Items that are applied, of those that will be. */
  readonly applied: number;
}

/** The events of a {@link SyncManager} with the arguments of their listeners. */
export interface SyncManagerEvents {
  /** A session has begun, or goes on. */
  sessionStart: [session: SessionStarted];
  /** A session is over. */
  sessionEnd: [session: SessionEnded];
  /** At most four in a second for each session. */
  progress: [progress: SessionProgress];
  /** At most twenty in a second for each connection. */
  log: [level: LogLevel, code: ManagerLogCode, message: string, agent: string];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

/** How much a {@link SyncManager} does, and did since it was made. */
export interface SyncManagerStats {
  /** Sessions that have begun and not ended, items that these have announced, and bytes that are staged of them. */
  readonly sessions: number;
  /** Items that the sessions under way have announced. */
  readonly items: number;
  /** Bytes that are staged of them. */
  readonly bytes: number;
  /** Agents that wait for their turn to begin a session, and those among them whose Start is held. */
  readonly waiting: number;
  /** Agents among those that wait whose Start is held. */
  readonly held: number;
  /** Sessions that are being applied. */
  readonly committing: number;
  /** Connections of agents. */
  readonly connections: number;
  /** How often since the manager was made. */
  readonly counts: Readonly<Counts>;
}

/** What a manager counts. */
export interface Counts {
  /** Messages that came, and among them those that are none. */
  messages: number;
  /** Messages that are none. */
  malformed: number;
  /** Messages that have no place where they came. */
  unexpected: number;
  /** Messages of sessions that the manager does not know, and of those of another agent. */
  unknownSession: number;
  /** Messages of another agent's session. */
  foreignSession: number;
  /** Sessions that began, went on after a new Start, were applied or answered with Ok, failed, and were forgotten after a silence. */
  started: number;
  /** Sessions that went on after a new Start. */
  resumed: number;
  /** Sessions that were applied, or answered with Ok. */
  succeeded: number;
  /** Sessions that failed. */
  failed: number;
  /** Sessions that were forgotten after a silence. */
  expired: number;
  /** Sessions that a newer Start ended. */
  superseded: number;
  /** Sessions that were put off again while others waited, for hardly anything came of them. */
  gaveWay: number;
  /** Starts that were answered with Offline, and with Error. */
  postponed: number;
  /** Starts that were answered with Error. */
  refused: number;
  /** Items that arrived, that had arrived before, whose numbers their session does not have, and that there was no room for. */
  itemsReceived: number;
  /** Items that had arrived before. */
  itemsDuplicate: number;
  /** Items whose numbers their session does not have. */
  itemsBeyond: number;
  /** Items that there was no room for. */
  itemsWithoutRoom: number;
  /** Items that were applied, and that were not for they were invalid or not allowed. */
  itemsApplied: number;
  /** Items that were not applied: invalid, or not allowed. */
  itemsRejected: number;
  /** Retransmissions that were asked for. */
  reqRets: number;
  /** Answers that could not be sent; those that the connection had no room for were sent again when it had. */
  answersLost: number;
  /** Failures of the store. */
  storeFailures: number;
  /** Failures of the functions of the application: allowIndex, onMetadata, onContext. */
  hookFailures: number;
  /** Lines of the log, and failures of these functions, that were not told. */
  suppressed: number;
}

export function noCounts(): Counts {
  return {
    messages: 0,
    malformed: 0,
    unexpected: 0,
    unknownSession: 0,
    foreignSession: 0,
    started: 0,
    resumed: 0,
    succeeded: 0,
    failed: 0,
    expired: 0,
    superseded: 0,
    gaveWay: 0,
    postponed: 0,
    refused: 0,
    itemsReceived: 0,
    itemsDuplicate: 0,
    itemsBeyond: 0,
    itemsWithoutRoom: 0,
    itemsApplied: 0,
    itemsRejected: 0,
    reqRets: 0,
    answersLost: 0,
    storeFailures: 0,
    hookFailures: 0,
    suppressed: 0,
  };
}
