// The listeners: where the gateway is reached, and what is served there.

import { byId } from '../lib/dom.js';
import { bytes, compact, count } from '../lib/format.js';
import { Table } from '../lib/table.js';

/** @import { GatewaySnapshot, ListenerSnapshot } from '../../src/gateway/snapshot.js' */

export function makeListeners() {
  /** @type {Table<ListenerSnapshot>} */
  const table = new Table(
    byId('listeners', HTMLElement),
    'Listeners',
    [
      { title: 'Name', text: ({ name }) => name },
      { title: 'Address', class: 'mono', text: ({ address }) => address },
      { title: 'Reached at', class: 'mono minor', text: ({ publicAddresses }) => publicAddresses.join(', ') },
      { title: 'Layers', class: 'minor', text: ({ layers }) => layers.join(', ') },
      { title: 'Protocols', class: 'minor', text: wiresText },
      {
        title: 'Peers',
        class: 'number',
        text: ({ peers, maxPeers }) => `${count(peers)} of ${count(maxPeers)}`,
      },
      { title: 'Half open', class: 'number least', text: ({ counters }) => count(counters.halfOpen) },
      {
        title: 'Handshakes',
        class: 'number least',
        text: ({ counters }) => compact(counters.handshakesCompleted),
      },
      { title: 'Timed out', class: 'number least', text: ({ counters }) => compact(counters.peersTimedOut) },
      {
        title: 'I/O',
        class: 'minor',
        text: ({ driver, threads }) => (driver === 'loop' ? 'event loop' : threadsText(threads)),
      },
      { title: 'Memory', class: 'number', text: ({ memoryBytes }) => bytes(memoryBytes) },
    ],
    ({ name }) => name,
    'There is none.',
  );
  return {
    /** @param {GatewaySnapshot} snapshot */
    show({ listeners }) {
      table.show(listeners);
    },
  };
}

/** @param {ListenerSnapshot} listener */
function wiresText({ wires, peersByWire }) {
  return wires.length === 1
    ? wires.join()
    : wires.map((wire) => `${wire} ${count(peersByWire[wire])}`).join(', ');
}

/** @param {number} threads */
const threadsText = (threads) => `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
