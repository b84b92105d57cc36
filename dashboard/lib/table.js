// Tables whose rows stay the same elements for as long as what they stand for is there: focus and selection survive each second.

import { element, setText } from './dom.js';

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => string} [text] what is in the cell
 * @property {(cell: HTMLTableCellElement, row: Row) => void} [fill] instead of `text`: called for each change
 * @property {string} [class] of the cells: `number`, `minor` and `least` (left out where it is narrow), `mono`
 * @property {() => void} [sort] makes the header a button
 */

/** @template Row */
export class Table {
  /** @type {HTMLTableElement} */
  element;
  #columns;
  #keyOf;
  /** @type {HTMLTableSectionElement} */
  #body;
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();
  /** @type {HTMLParagraphElement} */
  #empty;
  /** @type {HTMLTableCellElement[]} */
  #heads;

  /**
   * @param {HTMLElement} place where it goes
   * @param {string} caption for those who do not see the title above
   * @param {readonly Column<Row>[]} columns
   * @param {(row: Row) => string} keyOf what a row stands for
   * @param {string} none what is said when there are no rows
   */
  constructor(place, caption, columns, keyOf, none) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#heads = columns.map(headOf);
    this.#body = element('tbody');
    this.#empty = element('p', { class: 'none' }, none);
    this.element = element(
      'table',
      {},
      element('caption', { class: 'hidden' }, caption),
      element('thead', {}, element('tr', {}, ...this.#heads)),
      this.#body,
    );
    place.append(this.element, this.#empty);
    this.show([]);
  }

  /** @param {readonly Row[]} rows in their order */
  show(rows) {
    const keys = rows.map(this.#keyOf);
    const present = new Set(keys);
    for (const [key, row] of this.#rows) {
      if (present.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    rows.forEach((row, index) => {
      const shown = this.#rowOf(keys[index] ?? '');
      // Moved only where it is not there already: a row that moves loses the focus.
      const there = this.#body.children[index];
      if (there !== shown) this.#body.insertBefore(shown, there ?? null);
      this.#fill(shown, row);
    });
    this.element.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
  }

  /** @param {readonly ('ascending' | 'descending' | undefined)[]} orders by column */
  showOrder(orders) {
    this.#heads.forEach((head, index) => {
      const order = orders[index];
      if (order === undefined) head.removeAttribute('aria-sort');
      else head.setAttribute('aria-sort', order);
    });
  }

  /** @param {string} key */
  #rowOf(key) {
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const cells = this.#columns.map((column) => element('td', column.class ? { class: column.class } : {}));
    const row = element('tr', {}, ...cells);
    this.#rows.set(key, row);
    return row;
  }

  /** @param {HTMLTableRowElement} shown @param {Row} row */
  #fill(shown, row) {
    this.#columns.forEach((column, index) => {
      const cell = shown.cells[index];
      if (cell === undefined) return;
      if (column.fill) column.fill(cell, row);
      else setText(cell, column.text?.(row) ?? '');
    });
  }
}

/** @param {Column<any>} column */
function headOf(column) {
  const head = element('th', { scope: 'col', ...(column.class ? { class: column.class } : {}) });
  if (column.sort === undefined) {
    head.textContent = column.title;
    return head;
  }
  const button = element('button', { type: 'button', class: 'sort' }, column.title);
  button.addEventListener('click', column.sort);
  head.append(button);
  return head;
}

/**
 * A cell with a word in a coloured frame. What it means is said by the word, not by the colour.
 *
 * @param {HTMLTableCellElement} cell
 * @param {string} text
 * @param {'good' | 'warn' | 'bad' | 'plain'} kind
 */
export function fillBadge(cell, text, kind) {
  const known = cell.firstElementChild;
  const badge = known ?? element('span');
  const name = `badge ${kind}`;
  if (badge.className !== name) badge.className = name;
  setText(badge, text);
  if (known === null) cell.append(badge);
}
