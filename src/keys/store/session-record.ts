// Sessions as records of a store.

import type { Session } from '../protocol/session.js';
import { sessionStates } from '../protocol/states.js';
import { errorCodes, messageLimits, type Unstamped } from '../wire/messages.js';
import { readMessage } from './message-record.js';
import { encodeRecord, formatError, RecordReader, readRecord } from './record-reader.js';

const { idBytes } = messageLimits;

const outcomes = ['completed', 'kept', 'unacknowledged', 'aborted', 'rolled_back'] as const;

/** Ids of keys in a session: those that are asked to be deleted may come from several sessions that did not end well. */
const maxKeyIds = 1024;
/** Messages that were answered in one session. */
const maxReplies = 256;

/**
 * A session as bytes, which {@link decodeSession} reads.
 *
 * @throws HawserError ERR_HAWSER_STORE_FORMAT when a field is not as the type has it, ERR_HAWSER_MESSAGE_TOO_LONG: what could not be read again
 * is not written.
 */
export function encodeSession(session: Session): Uint8Array {
  const what = nameOf(session.sessionId);
  readSession(what, new RecordReader(what, session), session.sessionId);
  return encodeRecord(what, session);
}

/**
 * @param sessionId what it is kept under.
 * @throws HawserError ERR_HAWSER_STORE_FORMAT, naming the session.
 */
export function decodeSession(bytes: Uint8Array, sessionId: string): Session {
  const what = nameOf(sessionId);
  return readSession(what, readRecord(what, bytes), sessionId);
}

function nameOf(sessionId: string): string {
  return `the record of session ${JSON.stringify(sessionId)}`;
}

function readSession(what: string, reader: RecordReader, sessionId: string): Session {
  const session: Session = {
    sessionId: reader.text('sessionId', idBytes),
    role: reader.oneOf('role', ['master', 'slave']),
    state: reader.oneOf('state', sessionStates),
    epoch: reader.integer('epoch'),
    notificationId: reader.text('notificationId', idBytes),
    round: reader.integer('round'),
    keyIds: reader.texts('keyIds', maxKeyIds, idBytes),
    newKeyId: reader.textOrNull('newKeyId', idBytes),
    oldKeyId: reader.textOrNull('oldKeyId', idBytes),
    rotationTimestamp: reader.integer('rotationTimestamp'),
    rotationAtMs: reader.number('rotationAtMs'),
    deadlineAtMs: reader.number('deadlineAtMs'),
    peerProved: reader.flag('peerProved'),
    awaiting: readAwaiting(reader.recordOrNull('awaiting')),
    replies: readReplies(what, reader.record('replies')),
    deleting: reader.texts('deleting', maxKeyIds, idBytes),
    failedKeyIds: reader.texts('failedKeyIds', maxKeyIds, idBytes),
    deleteRounds: reader.integer('deleteRounds'),
    deviceFailures: reader.integer('deviceFailures'),
    outcome: reader.oneOfOrNull('outcome', outcomes),
    reason: reader.oneOfOrNull('reason', errorCodes),
    startedAtMs: reader.number('startedAtMs'),
    updatedAtMs: reader.number('updatedAtMs'),
  };
  reader.end();
  if (session.sessionId !== sessionId) throw formatError(what, 'it is that of another session');
  return session;
}

function readAwaiting(reader: RecordReader | null): Unstamped | null {
  return reader === null ? null : readMessage(reader);
}

function readReplies(what: string, reader: RecordReader): Record<string, Unstamped> {
  const ids = reader.names();
  if (ids.length > maxReplies) throw formatError(what, 'it has too many replies');
  return Object.fromEntries(
    ids.map((id) => {
      if (id === '' || Buffer.byteLength(id) > idBytes) throw formatError(what, 'a reply has no id');
      return [id, readMessage(reader.record(id))];
    }),
  );
}
