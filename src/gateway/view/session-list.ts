// The sessions that a gateway owns, in pages.

import { checkInteger, checkOptions, checkString } from '../../base/check.js';
import type { SessionInfo } from '../../sessions/server/handler.js';
import type { SessionServer } from '../../sessions/server/session-server.js';
import type { PeersQuery, SessionSnapshot, SessionsPage } from '../snapshot.js';

const defaultLimit = 50;
const mostLimit = 1000;
const mostOffset = 10_000_000;
const mostSearch = 256;

/** @param query what the session id or the identity begins with, and which page. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function listSessions(
  server: SessionServer,
  query: Pick<PeersQuery, 'search' | 'limit' | 'offset'>,
): SessionsPage {
  checkOptions('query', query, ['search', 'limit', 'offset']);
  const limit = checkInteger('limit', query.limit ?? defaultLimit, 1, mostLimit);
  const offset = checkInteger('offset', query.offset ?? 0, 0, mostOffset);
  const search = checkString('search', query.search ?? '', 0, mostSearch);
  const page: SessionInfo[] = [];
  let total = 0;
  for (const session of server.sessions()) {
    if (!session.sessionId.startsWith(search) && !session.identity.startsWith(search)) continue;
    if (total >= offset && page.length < limit) page.push(session);
    ++total;
  }
  return { total, sessions: page.map((session) => snapshotOf(server, session)) };
}

function snapshotOf(server: SessionServer, { sessionId, identity, createdAt }: SessionInfo): SessionSnapshot {
  return {
    sessionId,
    identity,
    connected: server.isConnected(sessionId),
    createdAtMs: Number(createdAt),
    expiresAtMs: server.diagnostics(sessionId)?.currentExpiredAt ?? 0,
  };
}
