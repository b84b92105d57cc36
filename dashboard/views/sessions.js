// The layer sessions: what the gateway owns, and the sessions one by one.

import { get } from '../lib/api.js';
import { byId, setPairs } from '../lib/dom.js';
import { count, duration } from '../lib/format.js';
import { Pages } from '../lib/pages.js';
import { fillBadge, Table } from '../lib/table.js';

/** @import { GatewaySnapshot, SessionSnapshot } from '../../src/gateway/snapshot.js' */

const limit = 10;
const intervalMs = 3000;

export function makeSessions() {
  const section = byId('sessions', HTMLElement);
  const facts = byId('sessions-facts', HTMLDListElement);
  const place = byId('sessions-table', HTMLElement);
  /** @type {Table<SessionSnapshot>} */
  const table = new Table(
    place,
    'Sessions that this gateway owns',
    [
      { title: 'Session', class: 'mono', text: ({ sessionId }) => sessionId },
      { title: 'Identity', class: 'name', text: ({ identity }) => identity },
      {
        title: 'Client',
        fill: (cell, { connected }) =>
          fillBadge(cell, connected ? 'connected' : 'away', connected ? 'good' : 'plain'),
      },
      { title: 'Age', class: 'number minor', text: ({ createdAtMs }) => duration(Date.now() - createdAtMs) },
      { title: 'Expires in', class: 'number', text: ({ expiresAtMs }) => duration(expiresAtMs - Date.now()) },
    ],
    ({ sessionId }) => sessionId,
    'No session is there.',
  );
  const pages = new Pages({
    place,
    search: byId('sessions-search', HTMLInputElement),
    noun: 'sessions',
    limit,
    intervalMs,
    ask: async (query) => {
      const { total, sessions } = await get('/api/sessions', query);
      return { total, rows: sessions };
    },
    show: (/** @type {readonly SessionSnapshot[]} */ rows) => table.show(rows),
  });
  return {
    /** @param {GatewaySnapshot} snapshot */
    show({ layers: { sessions } }) {
      section.hidden = sessions === undefined;
      if (sessions === undefined) return;
      pages.start();
      setPairs(facts, pairsOf(sessions));
    },
  };
}

/** @param {NonNullable<GatewaySnapshot['layers']['sessions']>} sessions @returns {[string, string][]} */
function pairsOf(sessions) {
  const rejected = Object.values(sessions.rejected).reduce((sum, each) => sum + each, 0);
  const leads = sessions.isLeader ? 'leader' : 'follower';
  return [
    ['Active', `${count(sessions.sessions)} of ${count(sessions.maxSessions)}`],
    ['Connected', count(sessions.connected)],
    ['Serving', sessions.serving ? 'yes' : 'no'],
    ['Lease', sessions.leaseValid ? 'holds' : 'in doubt'],
    ['Store', sessions.store],
    ['Gateways', count(Math.max(1, sessions.members.length))],
    ...(sessions.cluster === 'leader' ? /** @type {[string, string][]} */ ([['Cluster', leads]]) : []),
    ['Created', count(sessions.created)],
    ['Continued', count(sessions.continued)],
    ['Taken over', count(sessions.claimed)],
    ['Expired', count(sessions.expired)],
    ['Rejected', count(rejected)],
    ['Requests', count(sessions.committed)],
  ];
}
