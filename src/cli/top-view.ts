// How `hawser top` draws a gateway: its process, its listeners and its layers.

import type { Distribution, GatewaySnapshot, LayerSnapshots, ListenerSnapshot } from '../gateway/snapshot.js';
import { bar, bytes, clock, count, type Paint, percent } from './terminal.js';
import type { DropRate, ListenerRates, TopModel } from './top-model.js';

const barColumns = 20;
const maxDrops = 5;

/**
 * Everything but the peers.
 *
 * @param room how many lines there are for it: where all of it does not fit, each listener has one line, so that the layers are to be seen.
 */
export function overviewLines(
  model: TopModel,
  paint: Paint,
  room: number = Number.POSITIVE_INFINITY,
): string[] {
  const { snapshot } = model;
  if (snapshot === undefined) return [paint('dim', 'waiting for the gateway')];
  const head = headLines(snapshot, model.cpuShare(), paint);
  const layers = layerLines(snapshot, paint);
  const full = snapshot.listeners.flatMap((listener) => [
    '',
    ...listenerLines(listener, model.ratesOf(listener.name), paint),
  ]);
  if (head.length + full.length + layers.length <= room) return [...head, ...full, ...layers];
  const short = snapshot.listeners.map((listener) =>
    listenerLine(listener, model.ratesOf(listener.name), paint),
  );
  return [...head, '', ...short, ...layers].slice(0, room);
}

// ---- Process -------------------------------------------------------------------------------------------------------

const stateStyles = { STARTING: 'yellow', RUNNING: 'green', DRAINING: 'yellow', STOPPED: 'red' } as const;

function headLines(snapshot: GatewaySnapshot, cpuShare: number, paint: Paint): string[] {
  const { name, state, version, pid, startedAtMs, timeMs, drainsUntilMs, configFile, process } = snapshot;
  const left =
    drainsUntilMs === null ? '' : `, ${clock(Math.max(0, drainsUntilMs - timeMs) / 1000)} left at most`;
  const about = [
    `up ${clock((timeMs - startedAtMs) / 1000)}`,
    `pid ${pid}`,
    `hawser ${version}`,
    ...(configFile === null ? [] : [configFile]),
  ];
  const { loopDelayMs, rssBytes, heapUsedBytes } = process;
  return [
    `${paint('bold', name)}  ${paint(stateStyles[state] ?? 'red', state)}${left}  ${paint('dim', about.join('  '))}`,
    `cpu ${percent(cpuShare)}  memory ${bytes(rssBytes)}  loop delay ${delays(loopDelayMs)}  ${paint('dim', `JavaScript ${bytes(heapUsedBytes)}`)}`,
  ];
}

function delays({ p50, p99, max }: GatewaySnapshot['process']['loopDelayMs']): string {
  return `${ms(p50)} median, ${ms(p99)} p99, ${ms(max)} max`;
}

/** Milliseconds with as many digits as tell something. */
export function ms(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${Math.round(value)} ms` : `${value.toFixed(value >= 10 ? 1 : 2)} ms`;
}

// ---- Listeners -----------------------------------------------------------------------------------------------------

function listenerLines(listener: ListenerSnapshot, rates: ListenerRates, paint: Paint): string[] {
  const { name, address, wires, layers, driver, threads, peers, maxPeers, memoryBytes, rttMs } = listener;
  const how = driver === 'threads' ? `${threads} I/O thread${threads === 1 ? '' : 's'}` : 'event loop';
  const { full, empty } = bar(maxPeers === 0 ? 0 : peers / maxPeers, barColumns);
  const { halfOpen, sendQueueBytes } = listener.counters;
  const row = (label: string, text: string): string => `  ${paint('dim', label.padEnd(6))} ${text}`;
  const head = `${paint('bold', name)}  ${address}  ${paint('dim', [wires.join(' and '), layers.join(', '), how].join('  '))}`;
  if (peers === 0 && rates.datagramsIn === 0 && rates.drops.length === 0) {
    return [head, row('peers', paint('dim', `none, of ${count(maxPeers)}`))];
  }
  return [
    head,
    row(
      'peers',
      `${paint('cyan', full)}${paint('dim', empty)} ${count(peers)} of ${count(maxPeers)}  ${count(halfOpen)} connecting${byWire(listener)}`,
    ),
    row('in', flow(rates.messagesIn, rates.datagramsIn, rates.bytesIn)),
    row('out', flow(rates.messagesOut, rates.datagramsOut, rates.bytesOut)),
    row(
      'state',
      `loss ${percent(rates.lossShare)}, spurious ${percent(rates.spuriousLossShare)}  to be sent ${bytes(sendQueueBytes)}  native memory ${bytes(memoryBytes)}`,
    ),
    row('rtt', rttText(rttMs, paint)),
    row('drops', dropsText(rates.drops, paint)),
  ];
}

/** What matters most, in one line that is whole on 80 columns. */
function listenerLine(
  { name, peers }: ListenerSnapshot,
  { messagesIn, messagesOut, lossShare, drops }: ListenerRates,
  paint: Paint,
): string {
  const growing = drops.find(({ perSecond }) => perSecond > 0);
  const dropped =
    growing === undefined
      ? ''
      : paint('yellow', `  ${growing.reason} +${count(Math.ceil(growing.perSecond))}/s`);
  return `${paint('bold', name.padEnd(11))}  ${count(peers)} peer${peers === 1 ? '' : 's'}  in ${count(messagesIn)} out ${count(messagesOut)} messages/s  loss ${percent(lossShare)}${dropped}`;
}

function byWire({ wires, peersByWire }: ListenerSnapshot): string {
  if (wires.length < 2) return '';
  return `  (${wires.map((wire) => `${count(peersByWire[wire])} ${wire}`).join(', ')})`;
}

function flow(messages: number, datagrams: number, byteRate: number): string {
  return [
    `${count(messages)} messages/s`.padStart(22),
    `${count(datagrams)} datagrams/s`.padStart(23),
    `${bytes(byteRate)}/s`.padStart(13),
  ].join('');
}

const levels = '▁▂▃▄▅▆▇█';

/** A column for each range, its height by how many are in it; a dot for none. */
export function rttText({ bounds, counts }: Distribution, paint: Paint): string {
  const total = counts.reduce((sum, value) => sum + value, 0);
  if (total === 0) return paint('dim', 'nobody to measure');
  const highest = Math.max(...counts);
  const first = counts.findIndex((value) => value > 0);
  const last = counts.findLastIndex((value) => value > 0);
  const columns = counts.slice(first, last + 1).map((value) => {
    if (value === 0) return paint('dim', '·');
    const level = levels[Math.min(levels.length - 1, Math.floor((value / highest) * levels.length))] ?? '';
    return paint('cyan', level);
  });
  const from = first === 0 ? '0' : boundText(bounds[first - 1] ?? 0);
  const to =
    last < bounds.length ? boundText(bounds[last] ?? 0) : `more than ${boundText(bounds.at(-1) ?? 0)}`;
  const [median, high] = [0.5, 0.99].map((share) => rangeText({ bounds, counts }, total * share));
  return `${from} ${columns.join('')} ${to}  half ${median}, 99 % ${high}`;
}

/** The range that the observation of that rank is in. */
function rangeText({ bounds, counts }: Distribution, rank: number): string {
  let seen = 0;
  for (const [index, value] of counts.entries()) {
    seen += value;
    const bound = bounds[index];
    if (seen >= rank && bound !== undefined) return `up to ${boundText(bound)}`;
  }
  return `more than ${boundText(bounds.at(-1) ?? 0)}`;
}

/** Bounds are round numbers. */
function boundText(valueMs: number): string {
  return valueMs >= 1000 ? `${valueMs / 1000} s` : `${valueMs} ms`;
}

function dropsText(drops: readonly DropRate[], paint: Paint): string {
  if (drops.length === 0) return paint('dim', 'none');
  const shown = drops.slice(0, maxDrops).map(({ reason, total, perSecond }) => {
    const text = `${reason} ${count(total)}`;
    return perSecond > 0 ? paint('yellow', `${text} (+${count(Math.ceil(perSecond))}/s)`) : text;
  });
  const others = drops.length - shown.length;
  return shown.join('  ') + (others === 0 ? '' : paint('dim', `  and ${others} more reasons`));
}

// ---- Layers --------------------------------------------------------------------------------------------------------

function layerLines({ layers, timeMs }: GatewaySnapshot, paint: Paint): string[] {
  const rows: (readonly [string, string])[] = [
    ...interactionRows(layers),
    ...syncRows(layers),
    ...sessionsRows(layers, paint),
    ...keysRows(layers, timeMs, paint),
  ];
  if (rows.length === 0) return [];
  return ['', ...rows.map(([label, text]) => `${paint('bold', label.padEnd(11))}  ${text}`)];
}

type Row = readonly [string, string];

function interactionRows({ interaction }: LayerSnapshots): Row[] {
  if (interaction === undefined) return [];
  const { connections, requests, errors, notifications } = interaction;
  return [
    [
      'interaction',
      `${count(connections)} connections  ${count(requests)} requests (${count(errors)} without success)  ${count(notifications)} notifications`,
    ],
  ];
}

function syncRows({ sync }: LayerSnapshots): Row[] {
  if (sync === undefined) return [];
  const { connections, sessions, items, waiting, committing, counts } = sync;
  return [
    [
      'sync',
      `${count(connections)} agents  ${count(sessions)} syncing (${count(items)} items, ${count(committing)} being applied)  ${count(waiting)} waiting  ${count(counts.succeeded)} done  ${count(counts.failed)} failed`,
    ],
  ];
}

function sessionsRows({ sessions }: LayerSnapshots, paint: Paint): Row[] {
  if (sessions === undefined) return [];
  const { connected, serving, isLeader, cluster, store, members, expired } = sessions;
  const state = serving ? paint('green', 'serving') : paint('red', 'not serving');
  const leads = cluster === 'leader' ? (isLeader ? ', leads' : ', does not lead') : '';
  return [
    [
      'sessions',
      `${count(sessions.sessions)} (${count(connected)} connected)  ${state}${leads}  ${store}, ${count(members.length)} gateway${members.length === 1 ? '' : 's'}  ${count(sessions.committed)} requests  ${count(expired)} expired`,
    ],
  ];
}

function keysRows({ keys }: LayerSnapshots, timeMs: number, paint: Paint): Row[] {
  if (keys === undefined) return [];
  const { peers, ended } = keys;
  const total = (of: (peer: (typeof peers)[number]) => number): number =>
    peers.reduce((sum, peer) => sum + of(peer), 0);
  const stopped = total(({ failedClosed }) => Number(failedClosed));
  const last = ended.at(-1);
  const ago =
    last === undefined ? '' : `  last ${last.outcome} ${clock((timeMs - last.endedAtMs) / 1000)} ago`;
  return [
    [
      'keys',
      `${count(peers.length)} SAE${peers.length === 1 ? '' : 's'} (${count(total(({ linked }) => Number(linked)))} connected)  ${count(total(({ rotations }) => rotations))} rotations  ${count(total(({ failures }) => failures))} failed${ago}${stopped === 0 ? '' : paint('red', `  ${count(stopped)} stopped for want of a key`)}`,
    ],
  ];
}
