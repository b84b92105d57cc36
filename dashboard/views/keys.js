// The layer keys: how it stands with each peer, and the last rotations.

import { byId, setText } from '../lib/dom.js';
import { count, duration, timeOfDay, words } from '../lib/format.js';
import { fillBadge, Table } from '../lib/table.js';

/** @import { GatewaySnapshot, RotationSnapshot } from '../../src/gateway/snapshot.js' */
/** @import { PeerStatus } from '../../src/keys/agent/status.js' */

const maxEnded = 8;
/** @typedef {RotationSnapshot & { readonly key: string }} Ended */

export function makeKeys() {
  const section = byId('keys', HTMLElement);
  const own = byId('keys-sae', HTMLElement);
  const peers = peerTable(byId('keys-peers', HTMLElement));
  const ended = endedTable(byId('keys-ended', HTMLElement));
  return {
    /** @param {GatewaySnapshot} snapshot */
    show({ layers: { keys } }) {
      section.hidden = keys === undefined;
      if (keys === undefined) return;
      setText(own, `this is ${keys.saeId}`);
      peers.show(keys.peers);
      const newest = [...keys.ended].sort((a, b) => b.endedAtMs - a.endedAtMs).slice(0, maxEnded);
      ended.show(
        newest.map((each) => ({ ...each, key: `${each.peerSaeId} ${each.sessionId} ${each.endedAtMs}` })),
      );
    },
  };
}

/** @param {HTMLElement} place @returns {Table<PeerStatus>} */
function peerTable(place) {
  return new Table(
    place,
    'Peers that keys are shared with',
    [
      { title: 'SAE', class: 'name', text: ({ peerSaeId }) => peerSaeId },
      { title: 'State', fill: (cell, peer) => fillBadge(cell, ...stateOf(peer)) },
      { title: 'Own role', class: 'minor', text: ({ role }) => role },
      { title: 'Session', text: ({ session }) => (session === undefined ? '–' : words(session.state)) },
      { title: 'Key in use', class: 'mono minor', text: ({ productionKeyId }) => shortId(productionKeyId) },
      { title: 'Rotations', class: 'number', text: ({ rotations }) => count(rotations) },
      { title: 'Failures', class: 'number', text: ({ failures }) => count(failures) },
      { title: 'Next in', class: 'number minor', text: ({ nextBeginAtMs }) => untilText(nextBeginAtMs) },
    ],
    ({ peerSaeId }) => peerSaeId,
    'No peer is configured.',
  );
}

/** @param {HTMLElement} place @returns {Table<Ended>} */
function endedTable(place) {
  return new Table(
    place,
    'The last rotations that ended',
    [
      { title: 'Ended', text: ({ endedAtMs }) => timeOfDay(endedAtMs) },
      { title: 'SAE', class: 'name', text: ({ peerSaeId }) => peerSaeId },
      { title: 'Own role', class: 'minor', text: ({ role }) => role.toLowerCase() },
      { title: 'Session', class: 'mono minor', text: ({ sessionId }) => shortId(sessionId) },
      {
        title: 'Outcome',
        fill: (cell, { outcome }) => fillBadge(cell, words(outcome), kindOf(outcome)),
      },
      { title: 'Code', class: 'mono minor', text: ({ code }) => code ?? '' },
    ],
    ({ key }) => key,
    'None yet.',
  );
}

/** @param {PeerStatus} peer @returns {[string, 'good' | 'warn' | 'bad' | 'plain']} */
function stateOf({ failedClosed, linked, ready, productionKeyId }) {
  if (failedClosed) return ['closed: no key', 'bad'];
  if (!linked) return ['not linked', 'warn'];
  if (!ready) return ['device not ready', 'warn'];
  return productionKeyId === null ? ['no key yet', 'plain'] : ['in use', 'good'];
}

/** @param {string} outcome */
function kindOf(outcome) {
  if (outcome === 'completed') return 'good';
  return outcome === 'kept' || outcome === 'unacknowledged' ? 'warn' : 'bad';
}

/** @param {string | null} id */
const shortId = (id) => (id === null ? '–' : id.length > 13 ? `${id.slice(0, 12)}…` : id);

/** @param {number | null} atMs */
const untilText = (atMs) => (atMs === null ? '–' : duration(atMs - Date.now()));
