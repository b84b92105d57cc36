// How `hawser top` draws peers: a list, and one in full.

import type { PeerDetail, PeerSnapshot, PeersPage } from '../gateway/snapshot.js';
import { bytes, clock, count, type Paint, percent } from './terminal.js';
import type { TopChoice } from './top-keys.js';
import { ms } from './top-view.js';

interface Column {
  readonly title: string;
  readonly width: number;
  /** Numbers end at the same place, texts begin there. */
  readonly isNumber: boolean;
  readonly text: (peer: PeerSnapshot, nowMs: number) => string;
}

function number(title: string, width: number, text: Column['text']): Column {
  return { title, width, isNumber: true, text };
}

const columns: readonly Column[] = [
  { title: 'client', width: 20, isNumber: false, text: ({ clientId }) => clientId },
  { title: 'address', width: 22, isNumber: false, text: ({ address }) => address },
  { title: 'listener', width: 9, isNumber: false, text: ({ listener }) => listener },
  number('rtt', 9, ({ rttMs }) => ms(rttMs)),
  number('lost', 8, ({ packetsLost }) => count(packetsLost)),
  number('queued', 10, ({ queuedBytes }) => bytes(queuedBytes)),
  number('received', 11, ({ packetsReceived }) => count(packetsReceived)),
  number('sent', 11, ({ packetsSent }) => count(packetsSent)),
  number('up', 9, ({ connectedAtMs }, nowMs) => clock(Math.max(0, nowMs - connectedAtMs) / 1000)),
];

/** Texts take the room that the longest of them needs, so that a narrow terminal shows more of the numbers. */
function widthsOf(rows: readonly (readonly string[])[]): number[] {
  return columns.map(({ title, width, isNumber }, index) => {
    if (isNumber) return width;
    const longest = Math.max(title.length, ...rows.map((cells) => cells[index]?.length ?? 0));
    return Math.min(width, longest);
  });
}

function row(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, index) => {
      const width = widths[index] ?? 0;
      const isNumber = columns[index]?.isNumber ?? false;
      const cut = cell.length > width ? `${cell.slice(0, width - 1)}…` : cell;
      return isNumber ? cut.padStart(width) : cut.padEnd(width);
    })
    .join(' ');
}

/** @param room how many lines there are for it. @param nowMs by the clock of the gateway. */
export function peerLines(
  page: PeersPage,
  choice: TopChoice,
  nowMs: number,
  room: number,
  paint: Paint,
): string[] {
  const { order, search, searching, offset, marked } = choice;
  const shown = page.peers.slice(0, Math.max(0, room - 2));
  const range =
    shown.length === 0
      ? 'none'
      : `${count(offset + 1)} to ${count(offset + shown.length)} of ${count(page.total)}`;
  const cells = shown.map((peer) => columns.map(({ text }) => text(peer, nowMs)));
  const widths = widthsOf(cells);
  const found = search === '' && !searching ? '' : `  beginning with ${search}${searching ? '▏' : ''}`;
  return [
    `${paint('bold', 'peers')} by ${order}  ${paint('dim', range)}${found}`,
    paint(
      'dim',
      row(
        columns.map(({ title }) => title),
        widths,
      ),
    ),
    ...cells.map((texts, index) => {
      const text = row(texts, widths);
      return index === marked ? paint('inverse', text) : text;
    }),
  ];
}

/** @param before the same peer at `beforeMs`, for rates; undefined for none. */
export function detailLines(
  peer: PeerDetail,
  nowMs: number,
  before: { readonly peer: PeerDetail; readonly timeMs: number } | undefined,
  paint: Paint,
): string[] {
  const perSecond = (of: (peer: PeerDetail) => number): string => {
    const elapsedMs = before === undefined ? 0 : nowMs - before.timeMs;
    if (before === undefined || elapsedMs <= 0) return '';
    return paint('dim', ` (${count(((of(peer) - of(before.peer)) * 1000) / elapsedMs)}/s)`);
  };
  const { packetsSent, packetsLost, congestionWindowBytes, bytesInFlight } = peer;
  const rows: (readonly [string, string])[] = [
    ['address', `${peer.address} at ${peer.localAddress}, listener ${peer.listener}, shard ${peer.shard}`],
    ['wire', `${peer.wire}, key epoch ${peer.keyEpoch}`],
    [
      'connected',
      `${timeText(peer.connectedAtMs)}, ${clock(Math.max(0, nowMs - peer.connectedAtMs) / 1000)} ago`,
    ],
    ['token', `made ${timeText(peer.tokenCreateTimeMs)}, timeout ${timeoutText(peer.timeoutMs)}`],
    ['rtt', `${ms(peer.rttMs)} ± ${ms(peer.rttVariationMs)}, at least ${ms(peer.minRttMs)}`],
    ['clock', peer.clockSettled ? `${offsetText(peer.clockOffsetMs)} from this one` : 'not known yet'],
    ['received', `${count(peer.packetsReceived)} packets${perSecond((each) => each.packetsReceived)}`],
    ['sent', `${count(packetsSent)} packets${perSecond((each) => each.packetsSent)}`],
    [
      'lost',
      `${count(packetsLost)} (${percent(packetsSent === 0 ? 0 : packetsLost / packetsSent)})${perSecond((each) => each.packetsLost)}`,
    ],
    ['queued', bytes(peer.queuedBytes)],
    ['congestion', congestionText(congestionWindowBytes, bytesInFlight, peer.pacingRate)],
    ['datagrams', `up to ${count(peer.maxDatagramBytes)} bytes`],
  ];
  return [
    `${paint('bold', `peer ${peer.clientId}`)}  ${paint('dim', peer.id)}`,
    ...rows.map(([label, text]) => `  ${paint('dim', label.padEnd(10))}  ${text}`),
  ];
}

/** A window is there from the first message of a reliable channel on. */
function congestionText(windowBytes: number, inFlight: number, pacingRate: number): string {
  if (windowBytes === 0) return 'nothing was sent that is controlled';
  return `${bytes(inFlight)} of ${bytes(windowBytes)} under way, ${bytes(pacingRate)}/s at most`;
}

function timeText(atMs: number): string {
  return Number.isFinite(atMs) ? new Date(atMs).toISOString().replace('T', ' ').slice(0, 19) : 'unknown';
}

function timeoutText(timeoutMs: number): string {
  return timeoutMs <= 0 ? 'none' : ms(timeoutMs);
}

function offsetText(offsetMs: number): string {
  return `${offsetMs < 0 ? '-' : '+'}${ms(Math.abs(offsetMs))}`;
}
