// The layer sync: what agents push to the manager.

import { byId, element, setPairs, setText } from '../lib/dom.js';
import { bytes, count, duration, span, timeOfDay } from '../lib/format.js';
import { fillBadge, Table } from '../lib/table.js';

/** @import { GatewaySnapshot, SyncOutcomeSnapshot, SyncSessionSnapshot } from '../../src/gateway/snapshot.js' */

const maxEnded = 8;
/** @typedef {SyncOutcomeSnapshot & { readonly key: string }} Ended */

export function makeSync() {
  const section = byId('sync', HTMLElement);
  const facts = byId('sync-facts', HTMLDListElement);
  const running = runningTable(byId('sync-running', HTMLElement));
  const ended = endedTable(byId('sync-ended', HTMLElement));
  return {
    /** @param {GatewaySnapshot} snapshot */
    show({ layers: { sync } }) {
      section.hidden = sync === undefined;
      if (sync === undefined) return;
      setPairs(facts, pairsOf(sync));
      running.show(sync.running);
      const newest = [...sync.ended].sort((a, b) => b.endedAtMs - a.endedAtMs).slice(0, maxEnded);
      ended.show(newest.map((each, index) => ({ ...each, key: keyOf(each, index) })));
    },
  };
}

/** Two of one agent may end in one millisecond. @param {SyncOutcomeSnapshot} outcome @param {number} index */
const keyOf = ({ agent, module, mode, endedAtMs }, index) =>
  JSON.stringify([agent, module, mode, endedAtMs, endedAtMs === 0 ? index : 0]);

/** @param {NonNullable<GatewaySnapshot['layers']['sync']>} sync @returns {[string, string][]} */
function pairsOf({ sessions, waiting, committing, connections, bytes: staged, counts }) {
  return [
    ['Under way', count(sessions)],
    ['Waiting', count(waiting)],
    ['Being applied', count(committing)],
    ['Agents', count(connections)],
    ['Staged', bytes(staged)],
    ['Succeeded', count(counts.succeeded)],
    ['Failed', count(counts.failed)],
    ['Items applied', count(counts.itemsApplied)],
    ['Items rejected', count(counts.itemsRejected)],
    ['Asked again', count(counts.reqRets)],
  ];
}

/** @param {HTMLElement} place @returns {Table<SyncSessionSnapshot>} */
function runningTable(place) {
  return new Table(
    place,
    'Syncs under way',
    [
      { title: 'Agent', class: 'name', text: ({ agent }) => agent },
      { title: 'Module', class: 'name', text: ({ module }) => module },
      { title: 'Mode', class: 'minor', text: ({ mode }) => mode },
      { title: 'Arrived', fill: fillProgress },
      { title: 'State', class: 'minor', text: ({ state }) => state },
      { title: 'Since', class: 'number', text: ({ startedAtMs }) => duration(Date.now() - startedAtMs) },
    ],
    ({ agent, module, mode, startedAtMs }) => JSON.stringify([agent, module, mode, startedAtMs]),
    'None.',
  );
}

/** @param {HTMLElement} place @returns {Table<Ended>} */
function endedTable(place) {
  return new Table(
    place,
    'The last syncs that ended',
    [
      { title: 'Ended', class: 'minor', text: ({ endedAtMs }) => timeOfDay(endedAtMs) },
      { title: 'Agent', class: 'name', text: ({ agent }) => agent },
      { title: 'Module', class: 'name', text: ({ module }) => module },
      { title: 'Mode', class: 'minor', text: ({ mode }) => mode },
      { title: 'Applied', class: 'number', text: ({ applied }) => count(applied) },
      { title: 'Rejected', class: 'number minor', text: ({ rejected }) => count(rejected) },
      { title: 'Took', class: 'number minor', text: ({ durationMs }) => span(durationMs) },
      {
        title: 'Status',
        fill: (cell, { status }) => fillBadge(cell, status, status === 'Ok' ? 'good' : 'bad'),
      },
    ],
    ({ key }) => key,
    'None yet.',
  );
}

/** @param {HTMLTableCellElement} cell @param {SyncSessionSnapshot} sync */
function fillProgress(cell, { received, size }) {
  if (cell.childElementCount === 0) {
    cell.append(element('progress', { 'aria-label': 'items that have arrived' }), element('span'));
  }
  const [bar, text] = cell.children;
  if (bar instanceof HTMLProgressElement) {
    bar.max = Math.max(1, size);
    bar.value = received;
  }
  if (text) setText(text, `${count(received)} of ${count(size)}`);
}
