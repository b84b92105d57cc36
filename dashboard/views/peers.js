// The peers: a page of them in the order that is asked for.

import { get } from '../lib/api.js';
import { byId, element } from '../lib/dom.js';
import { bytes, compact, count, duration, milliseconds, percent } from '../lib/format.js';
import { Pages } from '../lib/pages.js';
import { Table } from '../lib/table.js';

/** @import { PeerOrder, PeerSnapshot } from '../../src/gateway/snapshot.js' */
/** @import { Column } from '../lib/table.js' */

const limit = 25;
const intervalMs = 2000;

/** By column: the order that it is sorted in, and the one of a second click. @type {Readonly<Record<string, readonly PeerOrder[]>>} */
const orders = {
  RTT: ['rtt'],
  Lost: ['lost'],
  Queued: ['queued'],
  Received: ['received'],
  Sent: ['sent'],
  Connected: ['oldest', 'newest'],
};

/** @param {(id: string) => void} open shows one peer */
export function makePeers(open) {
  /** @type {PeerOrder} */
  let order = 'oldest';
  /** @type {Column<PeerSnapshot>[]} */
  const columns = [
    {
      title: 'Client',
      class: 'mono',
      fill: (cell, { id, clientId }) => fillClient(cell, id, clientId, open),
    },
    { title: 'Address', class: 'mono', text: ({ address }) => address },
    { title: 'Listener', class: 'minor', text: ({ listener }) => listener },
    { title: 'Wire', class: 'minor', text: ({ wire }) => wire },
    {
      title: 'RTT',
      class: 'number',
      text: ({ wire, rttMs }) => (wire === 'netcode' ? '–' : milliseconds(rttMs)),
    },
    { title: 'Jitter', class: 'number minor', text: ({ rttVariationMs }) => milliseconds(rttVariationMs) },
    { title: 'Lost', class: 'number', text: lossText },
    { title: 'Queued', class: 'number minor', text: ({ queuedBytes }) => bytes(queuedBytes) },
    { title: 'Received', class: 'number least', text: ({ packetsReceived }) => compact(packetsReceived) },
    { title: 'Sent', class: 'number least', text: ({ packetsSent }) => compact(packetsSent) },
    {
      title: 'Connected',
      class: 'number least',
      text: ({ connectedAtMs }) => duration(Date.now() - connectedAtMs),
    },
  ];
  const place = byId('peers-table', HTMLElement);
  /** @type {Table<PeerSnapshot>} */
  const table = new Table(
    place,
    'Connected peers',
    columns.map(sortable),
    ({ id }) => id,
    'No peer is there.',
  );
  const pages = new Pages({
    place,
    search: byId('peers-search', HTMLInputElement),
    noun: 'peers',
    limit,
    intervalMs,
    ask: async (query) => {
      const { total, peers } = await get('/api/peers', query);
      return { total, rows: peers };
    },
    show: (/** @type {readonly PeerSnapshot[]} */ rows) => table.show(rows),
  });

  /** @param {Column<PeerSnapshot>} column @returns {Column<PeerSnapshot>} */
  function sortable(column) {
    const own = orders[column.title];
    return own === undefined ? column : { ...column, sort: () => sort(own) };
  }

  /** @param {readonly PeerOrder[]} own */
  function sort(own) {
    order = own[(own.indexOf(order) + 1) % own.length] ?? 'oldest';
    showOrder();
    pages.ask({ order });
  }

  function showOrder() {
    table.showOrder(
      columns.map(({ title }) => {
        if (!orders[title]?.includes(order)) return undefined;
        // The longest connection first is the greatest number first.
        return order === 'newest' ? 'ascending' : 'descending';
      }),
    );
  }

  showOrder();
  pages.ask({ order });
  pages.start();
}

/** @param {PeerSnapshot} peer */
function lossText({ packetsLost, packetsSent }) {
  if (packetsLost === 0) return '0';
  return packetsSent === 0 ? count(packetsLost) : percent(packetsLost / packetsSent);
}

/**
 * @param {HTMLTableCellElement} cell
 * @param {string} id
 * @param {string} clientId
 * @param {(id: string) => void} open
 */
function fillClient(cell, id, clientId, open) {
  if (cell.childElementCount > 0) return;
  const button = element('button', { type: 'button', class: 'link' }, clientId);
  button.addEventListener('click', () => open(id));
  cell.append(button);
}
