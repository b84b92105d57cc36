// Requests and responses as JSON, for the rivals: what a program does that needs no more than that. Ids are counted, responses find
// their promise by the id; there are no timeouts, no limits, no checks of what the other side says, and nothing else than reads.

/** @typedef {{id: number, method: 'read', params: {endpoint: number, feature: number, attributes: readonly number[]}}} JsonRequest */
/** @typedef {{id: number, result: Record<string, number>} | {id: number, error: string}} JsonResponse */

const endpoint = 1;
const feature = 2;
const attribute = 1;

/** Asks by one connection. */
export class JsonAsker {
  /** @type {Map<number, {resolve: (value: number) => void, reject: (error: Error) => void}>} */
  #pending = new Map();
  #lastId = 0;
  #send;

  /** @param {(text: string) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** @returns {Promise<number>} the value */
  ask() {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject });
      /** @type {JsonRequest} */
      const request = { id, method: 'read', params: { endpoint, feature, attributes: [attribute] } };
      this.#send(JSON.stringify(request));
    });
  }

  /** @param {string} text of a response */
  receive(text) {
    /** @type {JsonResponse} */
    const response = JSON.parse(text);
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ('error' in response) pending?.reject(new Error(response.error));
    else pending?.resolve(response.result[attribute] ?? Number.NaN);
  }
}

/** @type {Record<string, number>} */
const values = { 1: 1.5, 2: 2.5, 3: 3.5, 4: 4.5, 5: 5.5 };

/**
 * @param {string} text of a request
 * @returns {string} of its response
 */
export function jsonAnswer(text) {
  /** @type {JsonRequest} */
  const { id, params } = JSON.parse(text);
  if (params.endpoint !== endpoint || params.feature !== feature)
    return JSON.stringify({ id, error: 'no such feature' });
  /** @type {Record<string, number>} */
  const result = {};
  for (const each of params.attributes) {
    const value = values[each];
    if (value === undefined) return JSON.stringify({ id, error: 'no such attribute' });
    result[each] = value;
  }
  return JSON.stringify({ id, result });
}
