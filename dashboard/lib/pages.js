// A table whose rows the gateway searches, sorts and counts: it is asked for one page at a time.

import { ApiError } from './api.js';
import { element, setText } from './dom.js';
import { count } from './format.js';

const searchDelayMs = 200;

/**
 * @template Row
 * @typedef {object} Source
 * @property {HTMLElement} place where the buttons go
 * @property {HTMLInputElement} search
 * @property {string} noun `peers`
 * @property {number} limit rows on a page
 * @property {number} intervalMs between two looks
 * @property {(query: Readonly<Record<string, string>>) => Promise<{ readonly total: number, readonly rows: readonly Row[] }>} ask
 * @property {(rows: readonly Row[]) => void} show
 */

/** @template Row */
export class Pages {
  #source;
  #offset = 0;
  #total = 0;
  /** @type {Readonly<Record<string, string>>} */
  #query = {};
  #asked = 0;
  /** The last question is not answered yet. */
  #isWaiting = false;
  #isOn = false;
  #range = element('span', { class: 'range', 'aria-live': 'polite' });
  #previous = element('button', { type: 'button' }, 'Previous');
  #next = element('button', { type: 'button' }, 'Next');

  /** @param {Source<Row>} source */
  constructor(source) {
    this.#source = source;
    source.place.after(element('div', { class: 'pages' }, this.#range, this.#previous, this.#next));
    this.#previous.addEventListener('click', () => this.#turn(-source.limit));
    this.#next.addEventListener('click', () => this.#turn(source.limit));
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let typed;
    source.search.addEventListener('input', () => {
      clearTimeout(typed);
      typed = setTimeout(() => this.ask(this.#query), searchDelayMs);
    });
    setInterval(() => {
      // A gateway that takes longer than that is not asked again meanwhile: no answer would be the last one's.
      if (this.#isOn && !document.hidden && !this.#isWaiting) void this.#refresh();
    }, source.intervalMs);
    this.#showRange(0);
  }

  /** Begins to look, if it has not begun. */
  start() {
    if (this.#isOn) return;
    this.#isOn = true;
    void this.#refresh();
  }

  /** Asks anew from the beginning. @param {Readonly<Record<string, string>>} query beside search and page */
  ask(query) {
    this.#query = query;
    this.#offset = 0;
    void this.#refresh();
  }

  /** @param {number} by */
  #turn(by) {
    this.#offset = Math.max(0, this.#offset + by);
    void this.#refresh();
  }

  async #refresh() {
    const asked = ++this.#asked;
    this.#isWaiting = true;
    const { search, limit, ask, show } = this.#source;
    try {
      const page = { search: search.value.trim(), limit: String(limit), offset: String(this.#offset) };
      const { total, rows } = await ask({ ...this.#query, ...page });
      // Only the last question counts: answers may overtake each other.
      if (asked !== this.#asked) return;
      this.#total = total;
      if (this.#offset > 0 && this.#offset >= total) {
        this.#offset = Math.max(0, Math.floor((total - 1) / limit) * limit);
        void this.#refresh();
        return;
      }
      show(rows);
      this.#showRange(rows.length);
    } catch (error) {
      if (asked !== this.#asked) return;
      // When there is no connection the banner says so, and the rows stay as they were.
      if (error instanceof ApiError) setText(this.#range, error.message);
    } finally {
      if (asked === this.#asked) this.#isWaiting = false;
    }
  }

  /** @param {number} rows */
  #showRange(rows) {
    const { noun, limit } = this.#source;
    const [from, to] = [this.#offset + 1, this.#offset + rows];
    setText(
      this.#range,
      rows === 0 ? `0 ${noun}` : `${count(from)}–${count(to)} of ${count(this.#total)} ${noun}`,
    );
    this.#previous.disabled = this.#offset === 0;
    this.#next.disabled = this.#offset + limit >= this.#total;
  }
}
