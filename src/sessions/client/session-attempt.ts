// One attempt to create or continue a session: connections to one gateway after another, until one serves or there is reason to wait.

import { throwIfAborted } from '../../base/abort.js';
import { argumentError } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import type { ClientSettings } from './client-settings.js';
import type { GatewayChoice } from './gateway-target.js';
import { type Beginning, type LinkOwner, type Purpose, SessionLink } from './session-link.js';

/** What an attempt needs of its client. */
export interface AttemptHost {
  readonly settings: ClientSettings;
  readonly gateways: GatewayChoice;
  readonly owner: LinkOwner;
  /** The session that is to be continued; undefined to create one. */
  sessionId(): string | undefined;
  /** A gateway said to go elsewhere. */
  redirected(elsewhere: string | undefined): void;
  /** No further attempt is to follow: it could only fail in the same way. */
  endWith(error: HawserError): HawserError;
}

/** So many gateways in a row are followed to another one without a pause: those of a cluster that has just lost its leader may name each other. */
const maxHints = 3;

/**
 * @param signal gives it up.
 * @returns a promise of the connection that the session has now.
 * @throws HawserError (rejects) ERR_HAWSER_SESSION_EXPIRED, ERR_HAWSER_SESSION_REJECTED; what the connector rejects with; and as `SessionLink.begin`.
 */
export async function attemptSession(host: AttemptHost, signal: AbortSignal): Promise<SessionLink> {
  const { gateways } = host;
  gateways.beginAttempt();
  for (let hints = 0, isHinted = true; ; ) {
    const link = await connect(host, signal);
    if (!isHinted && gateways.isRefused) {
      link.close('it has refused already');
      throw rejected('NotLeader', 'no gateway leads');
    }
    const beginning = await begin(host, link, signal);
    if (beginning.isEstablished) return link;
    link.close('refused');
    // Nobody wants to know what it came to, and another attempt may be under way.
    throwIfAborted(signal);
    const { reason, elsewhere } = beginning;
    gateways.leave(elsewhere);
    const error = errorOf(host, reason);
    if (reason !== 'NotLeader') throw error;
    host.redirected(elsewhere);
    isHinted = elsewhere !== undefined;
    if (isHinted ? ++hints > maxHints : gateways.isUnknown) throw error;
  }
}

async function connect(
  { settings, gateways, owner }: AttemptHost,
  signal: AbortSignal,
): Promise<SessionLink> {
  const made: SessionLink[] = [];
  await settings.connector(
    (connection) => {
      const link = new SessionLink(connection, owner, settings.wheel);
      made.push(link);
      return link;
    },
    signal,
    gateways.next(),
    (address) => gateways.connectedTo(address),
  );
  const link = made.pop();
  if (link !== undefined && made.length === 0) return link;
  for (const each of made) each.close('not wanted');
  throw argumentError('connector', 'a function that calls attach once', 'one that does not');
}

async function begin(host: AttemptHost, link: SessionLink, signal: AbortSignal): Promise<Beginning> {
  try {
    return await link.begin(purposeOf(host), host.settings.sessionAnswerTimeoutMs, signal);
  } catch (error) {
    if (!signal.aborted) host.gateways.leave(undefined);
    throw error;
  }
}

function purposeOf(host: AttemptHost): Purpose {
  const sessionId = host.sessionId();
  return sessionId === undefined ? { capabilities: host.settings.capabilities } : { sessionId };
}

function errorOf(
  host: AttemptHost,
  reason: Extract<Beginning, { readonly isEstablished: false }>['reason'],
): HawserError {
  const isContinued = host.sessionId() !== undefined;
  if (reason === 'SessionExpired' && isContinued) {
    return host.endWith(new HawserError('ERR_HAWSER_SESSION_EXPIRED', 'the gateway knows no such session'));
  }
  const error = rejected(reason, 'a gateway refused the session');
  return reason === 'InvalidCapabilities' && !isContinued ? host.endWith(error) : error;
}

function rejected(reason: string, text: string): HawserError {
  return new HawserError('ERR_HAWSER_SESSION_REJECTED', `${text}: ${reason}`);
}
