// Tells of the sessions with one peer: events, diagnostics, and who waits for a rotation.

import type { Session } from '../protocol/session.js';
import type { SessionOutcome } from '../protocol/states.js';
import type { ProtocolEvent } from '../protocol/steps.js';
import type { KeyStore } from '../store/store.js';
import type { ErrorCode } from '../wire/messages.js';
import { productionOf } from './device-restore.js';
import { diagnostics } from './diagnostics.js';
import type { Rejection, RotationFailure, RotationResult, SaeEvents, SessionChange } from './events.js';
import type { PeerSettings } from './peer-options.js';
import type { RotationCalls } from './rotation-calls.js';
import type { LastSession } from './status.js';

/** Why a session came to nothing, for people. The transition that ended it knows more, and says it to the other side only. */
const reasons: Readonly<Record<ErrorCode, string>> = {
  bad_format: 'a message was not as it must be',
  bad_signature: 'a signature was wrong',
  unknown_peer: 'one side does not know the other',
  unknown_session: 'the session is not known there',
  bad_state: 'the two sides are in different states, or have different keys in production',
  replay: 'a later session was begun already',
  stale_timestamp: 'the clocks differ by too much, or a message took too long',
  key_unavailable: 'a key could not be had, expired or was revoked',
  kme_unavailable: 'a KME did not deliver in time',
  device_failure: 'a device refused',
  too_late: 'the sides were not ready in time, or did not reach each other',
  busy: 'another session took its place',
  unsupported_version: 'the two sides have different versions',
};

export interface ReportHost {
  readonly store: KeyStore;
  readonly tell: <E extends keyof SaeEvents>(event: E, ...args: SaeEvents[E]) => void;
}

export class SessionReport {
  readonly #settings: PeerSettings;
  readonly #host: ReportHost;
  readonly #calls: RotationCalls;
  /** Of the last transition, for people. */
  #cause = '';
  #rotations = 0;
  #failures = 0;
  #last: LastSession | undefined;

  constructor(settings: PeerSettings, host: ReportHost, calls: RotationCalls) {
    this.#settings = settings;
    this.#host = host;
    this.#calls = calls;
  }

  get counts(): {
    readonly rotations: number;
    readonly failures: number;
    readonly lastSession: LastSession | undefined;
  } {
    return { rotations: this.#rotations, failures: this.#failures, lastSession: this.#last };
  }

  /** Since when the key in production is; undefined when there is none. */
  get productionSinceMs(): number | undefined {
    return productionOf(this.#host.store, this.#settings.peerSaeId)?.inProductionAtMs ?? undefined;
  }

  tellOf(event: ProtocolEvent): void {
    const { peerSaeId, role } = this.#settings;
    switch (event.type) {
      case 'transition':
        this.#changed({ peerSaeId, session: event.session, from: event.from, cause: event.cause });
        break;
      case 'rejected': {
        const { code, messageType, sessionId, reason } = event;
        this.rejected({ peerSaeId, code, messageType, sessionId, reason });
        break;
      }
      case 'began':
        this.#calls.began(event.session.sessionId);
        break;
      case 'notBegun': {
        const { code, reason } = event;
        const own = role === 'slave' ? 'slave' : 'master';
        const failure = {
          peerSaeId,
          sessionId: undefined,
          role: own,
          outcome: 'aborted',
          code,
          reason,
        } as const;
        // Another session is under way: nothing has failed.
        if (code !== 'busy') ++this.#failures;
        this.#calls.notBegun(failure);
        this.#host.tell('rotationFailed', failure);
        break;
      }
      case 'ended':
        this.#ended(event.session, event.outcome);
        break;
    }
  }

  /** A message was refused, here or by the protocol. */
  rejected(rejection: Rejection): void {
    if (diagnostics.rejected.hasSubscribers) {
      diagnostics.rejected.publish({ saeId: this.#settings.saeId, ...rejection });
    }
    this.#host.tell('rejected', rejection);
  }

  #changed(change: SessionChange): void {
    this.#cause = change.cause;
    if (diagnostics.transition.hasSubscribers) {
      const { sessionId, role, epoch, state, newKeyId, outcome } = change.session;
      const { saeId, peerSaeId } = this.#settings;
      const { from, cause } = change;
      diagnostics.transition.publish({
        saeId,
        peerSaeId,
        sessionId,
        role,
        epoch,
        from,
        to: state,
        cause,
        newKeyId,
        outcome,
      });
    }
    this.#host.tell('state', change);
  }

  #ended(session: Session, outcome: SessionOutcome): void {
    const { sessionId, role, reason, updatedAtMs } = session;
    this.#last = { sessionId, role, outcome, code: reason, endedAtMs: updatedAtMs };
    if (outcome === 'aborted' || outcome === 'rolled_back') {
      ++this.#failures;
      this.#failed(session, outcome);
    } else {
      ++this.#rotations;
      this.#rotated(session, outcome);
    }
  }

  #rotated(session: Session, outcome: RotationResult['outcome']): void {
    const { peerSaeId } = this.#settings;
    const { sessionId, role, newKeyId, oldKeyId, failedKeyIds, updatedAtMs } = session;
    const key = newKeyId === null ? undefined : this.#host.store.key(peerSaeId, newKeyId);
    const result = {
      peerSaeId,
      sessionId,
      role,
      outcome,
      newKeyId: newKeyId ?? '',
      oldKeyId,
      rotatedAtMs: key?.inProductionAtMs ?? updatedAtMs,
      failedKeyIds,
    };
    this.#calls.rotated(result);
    this.#host.tell('rotation', result);
  }

  #failed({ sessionId, role, reason }: Session, outcome: RotationFailure['outcome']): void {
    const { peerSaeId } = this.#settings;
    const code = reason ?? 'bad_state';
    const said = this.#cause === 'error' ? ', as the other side says' : '';
    const failure = { peerSaeId, sessionId, role, outcome, code, reason: reasons[code] + said };
    this.#calls.failed(failure);
    this.#host.tell('rotationFailed', failure);
  }
}
