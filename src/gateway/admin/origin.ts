// From where a request may come: what keeps the pages of others, open in an operator's browser, away from the admin server.

import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { RequestError } from './answer.js';

/** What is looked at of a request. */
export interface Provenance {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Whether it is one that a link on any page may lead to. */
  readonly isPage: boolean;
}

/**
 * Checks where a request comes from.
 *
 * - Host must be an IP address, `localhost` or one of `hosts`: a name of somebody else's, which resolves to this machine at will (DNS
 *   rebinding), would make the page of that name one's own for the browser.
 * - Origin, where it is sent, must be one's own, and so must what Sec-Fetch-Site says of anything but a page.
 * - A POST has an own Origin or brings the token: every browser sends Origin with it.
 *
 * @throws RequestError 403.
 */
export function checkProvenance({ method, headers, isPage }: Provenance, hosts: ReadonlySet<string>): void {
  const host = (headers.host ?? '').toLowerCase();
  if (!isOwnHost(host, hosts)) {
    throw new RequestError(
      403,
      'the Host header is neither an IP address, nor localhost, nor in admin.hosts',
    );
  }
  const { origin } = headers;
  if (origin !== undefined && !isOwnOrigin(origin, host))
    throw new RequestError(403, 'not for other web pages');
  const site = headers['sec-fetch-site'];
  if (!isPage && site !== undefined && site !== 'same-origin' && site !== 'none') {
    throw new RequestError(403, 'not for other web pages');
  }
  const isSafe = method === 'GET' || method === 'HEAD';
  if (!isSafe && origin === undefined && headers.authorization === undefined) {
    throw new RequestError(403, `${method} needs the token, or an Origin header that names this server`);
  }
}

/** @param host the value of a Host header in lower case. */
function isOwnHost(host: string, hosts: ReadonlySet<string>): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::\d{1,5})?$/.exec(host);
  if (match === null) return false;
  const [, ipv6, name = ''] = match;
  if (ipv6 !== undefined) return isIP(ipv6) === 6;
  return name === 'localhost' || isIP(name) === 4 || hosts.has(name);
}

/** The scheme is not looked at: a proxy may have added TLS. `null`, of sandboxed frames, is nobody's own. */
function isOwnOrigin(origin: string, host: string): boolean {
  const match = /^https?:\/\/([^/?#@]+)$/.exec(origin.toLowerCase());
  return match !== null && match[1] === host;
}
