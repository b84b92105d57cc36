// One peer in full, with its round trip since the dialogue was opened.

import { ApiError, get } from '../lib/api.js';
import { byId, setPairs, setText } from '../lib/dom.js';
import { bytes, count, dateAndTime, duration, milliseconds } from '../lib/format.js';
import { Sparkline } from '../lib/sparkline.js';

/** @import { PeerDetail } from '../../src/gateway/snapshot.js' */
/** @import { Dot } from '../lib/sparkline.js' */

const intervalMs = 1000;
const shownMs = 60_000;

/** @returns {(id: string) => void} opens it for the peer of an id */
export function makePeerDialog() {
  const dialog = byId('peer', HTMLDialogElement);
  const title = byId('peer-title', HTMLElement);
  const gone = byId('peer-gone', HTMLElement);
  const facts = byId('peer-facts', HTMLDListElement);
  const line = new Sparkline();
  byId('peer-chart', HTMLElement).append(line.element);
  let shown = '';
  /** @type {Dot[]} */
  let dots = [];

  const look = async () => {
    const asked = shown;
    try {
      /** @type {PeerDetail} */
      const peer = await get(`/api/peer/${encodeURIComponent(asked)}`);
      if (asked !== shown) return;
      setText(title, `Client ${peer.clientId}`);
      setPairs(facts, pairsOf(peer));
      const now = Date.now();
      dots = [...dots.filter(({ timeMs }) => now - timeMs < shownMs), { timeMs: now, value: peer.rttMs }];
      line.draw([dots], now - shownMs, now, 1);
    } catch (error) {
      if (asked === shown && error instanceof ApiError && error.status === 404) gone.hidden = false;
    }
  };

  setInterval(() => {
    if (dialog.open && gone.hidden) void look();
  }, intervalMs);
  byId('peer-close', HTMLButtonElement).addEventListener('click', () => dialog.close());
  return (id) => {
    shown = id;
    dots = [];
    gone.hidden = true;
    setText(title, 'Peer');
    setPairs(facts, []);
    line.draw([[]], 0, shownMs, 1);
    dialog.showModal();
    void look();
  };
}

/** @param {PeerDetail} peer @returns {[string, string][]} */
function pairsOf(peer) {
  const offset = `${milliseconds(Math.abs(peer.clockOffsetMs))} ${peer.clockOffsetMs < 0 ? 'behind' : 'ahead'}`;
  return [
    ['Address', peer.address],
    ['Own address', peer.localAddress],
    ['Listener', peer.listener],
    ['Protocol', peer.wire],
    ['Id', peer.id],
    ['Connected for', duration(Date.now() - peer.connectedAtMs)],
    ['Round trip', milliseconds(peer.rttMs)],
    ['Jitter', milliseconds(peer.rttVariationMs)],
    ['Least round trip', milliseconds(peer.minRttMs)],
    ['Packets received', count(peer.packetsReceived)],
    ['Packets sent', count(peer.packetsSent)],
    ['Packets lost', count(peer.packetsLost)],
    ['Queued', bytes(peer.queuedBytes)],
    ['In flight', bytes(peer.bytesInFlight)],
    ['Congestion window', bytes(peer.congestionWindowBytes)],
    ['Pacing', `${bytes(peer.pacingRate)}/s`],
    ['Longest datagram', bytes(peer.maxDatagramBytes)],
    ['Its clock', peer.clockSettled ? offset : 'not settled'],
    ['Key epoch', count(peer.keyEpoch)],
    ['Times out after', duration(peer.timeoutMs)],
    ['Token made', peer.tokenCreateTimeMs === 0 ? 'not told' : dateAndTime(peer.tokenCreateTimeMs)],
    ['I/O thread', count(peer.shard)],
  ];
}
