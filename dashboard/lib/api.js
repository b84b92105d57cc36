// Requests to the gateway's own API.

/** A request that was answered, but not as hoped. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {Readonly<Record<string, string>>} query empty values are left out
 * @returns {Promise<any>} what the API documents for this path
 * @throws {ApiError} for any status but a good one; without a login the page leaves for that
 */
export async function get(path, query = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  return ask(search.size === 0 ? path : `${path}?${search}`, { method: 'GET' });
}

/** @param {string} path @returns {Promise<any>} @throws {ApiError} */
export function post(path) {
  return ask(path, { method: 'POST' });
}

/** @param {string} url @param {RequestInit} init */
async function ask(url, init) {
  const response = await fetch(url, { ...init, cache: 'no-store', signal: AbortSignal.timeout(10_000) });
  if (response.status === 401) location.assign('/login');
  const body = await response.json();
  if (!response.ok) throw new ApiError(response.status, String(body.error ?? response.statusText));
  return body;
}
