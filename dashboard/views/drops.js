// What is dropped, by reason: what grows first, and what never happened not at all.

import { element, setText } from '../lib/dom.js';
import { compact, count, rate } from '../lib/format.js';
import { Table } from '../lib/table.js';
import { dropMeanings } from './drop-meanings.js';

/** @import { GatewaySnapshot } from '../../src/gateway/snapshot.js' */
/** @typedef {{ readonly timeMs: number, readonly totals: ReadonlyMap<string, number> }} Taken */
/** @typedef {{ readonly reason: string, readonly total: number, readonly perSecond: number }} Row */

/** Over which the rate is taken. */
const windowMs = 10_000;

/** @param {HTMLElement} place @param {HTMLElement} summary */
export function makeDrops(place, summary) {
  /** @type {Table<Row>} */
  const table = new Table(
    place,
    'Datagrams and messages that were dropped',
    [
      { title: 'Reason', fill: fillReason },
      {
        title: 'Now',
        class: 'number',
        text: ({ perSecond }) => (perSecond === 0 ? '' : `${rate(perSecond)}/s`),
      },
      { title: 'Total', class: 'number', text: ({ total }) => compact(total) },
    ],
    ({ reason }) => reason,
    'Nothing was dropped.',
  );
  /** @type {Taken[]} */
  let taken = [];
  return {
    /** @param {GatewaySnapshot} snapshot */
    show(snapshot) {
      const now = take(snapshot);
      taken = [...taken.filter(({ timeMs }) => now.timeMs - timeMs <= windowMs), now];
      const rows = rowsOf(taken[0] ?? now, now);
      table.show(rows);
      const total = rows.reduce((sum, row) => sum + row.total, 0);
      setText(summary, total === 0 ? '' : `${count(total)} in all`);
    },
    clear() {
      taken = [];
    },
  };
}

/** @param {GatewaySnapshot} snapshot @returns {Taken} */
function take({ timeMs, listeners }) {
  /** @type {Map<string, number>} */
  const totals = new Map();
  for (const { drops } of listeners) {
    for (const [reason, dropped] of Object.entries(drops))
      totals.set(reason, (totals.get(reason) ?? 0) + dropped);
  }
  return { timeMs, totals };
}

/** @param {Taken} before @param {Taken} now @returns {Row[]} */
function rowsOf(before, now) {
  const seconds = Math.max(1, (now.timeMs - before.timeMs) / 1000);
  return [...now.totals]
    .filter(([, total]) => total > 0)
    .map(([reason, total]) => {
      const perSecond = Math.max(0, total - (before.totals.get(reason) ?? 0)) / seconds;
      return { reason, total, perSecond };
    })
    .sort((a, b) => b.perSecond - a.perSecond || b.total - a.total);
}

/** @param {HTMLTableCellElement} cell @param {Row} row */
function fillReason(cell, { reason }) {
  if (cell.childElementCount > 0) return;
  const meaning = Object.entries(dropMeanings).find(([name]) => name === reason)?.[1];
  cell.append(element('code', {}, reason), element('span', { class: 'meaning' }, meaning ?? ''));
}
