// Leads a request through the checks to its route, and whatever fails to an answer.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../log/logger.js';
import type { Access } from './access.js';
import { type Answer, json, RequestError, redirect, send } from './answer.js';
import { checkProvenance } from './origin.js';
import type { Route } from './routes.js';

/** What every request is looked at for. */
export interface Gate {
  readonly routes: ReadonlyMap<string, Route>;
  readonly access: Access;
  readonly hosts: ReadonlySet<string>;
  readonly log: Logger;
}

/** What a request asks for. */
interface Target {
  readonly route: Route;
  readonly rest: string;
  readonly search: URLSearchParams;
}

const always = (): boolean => true;

/** Answers one request, whatever is in it. */
export function serveRequest(gate: Gate, request: IncomingMessage, response: ServerResponse): void {
  answerOf(gate, request, response).then(
    (answer) => {
      if (answer !== undefined) send(response, answer);
    },
    (error: unknown) => send(response, refusal(error, request, gate.log)),
  );
}

async function answerOf(
  gate: Gate,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Answer | undefined> {
  const { headers, headersDistinct, method = '' } = request;
  // RFC 9112 section 3.2. Node.js takes the first, and who stands before it may have looked at the last.
  if ((headersDistinct.host?.length ?? 0) > 1) throw new RequestError(400, 'there are two Host headers');
  const target = find(gate.routes, request.url ?? '');
  const { access, methods } = target?.route ?? { access: 'api', methods: {} };
  checkProvenance({ method, headers, isPage: access === 'page' }, gate.hosts);
  // Who may see nothing is not told what there is either.
  const isAdmitted = access === 'all' ? always : admit(gate, request, access);
  if (typeof isAdmitted !== 'function') return isAdmitted;
  if (target === undefined) throw new RequestError(404, 'there is nothing of that name');
  const handler = handlerOf(methods, method);
  if (handler === undefined) throw notAllowed(target.route);
  return handler({ request, response, search: target.search, rest: target.rest, isAdmitted });
}

/** @returns where to go instead, for a page of somebody who is not logged in. */
function admit(
  { access: guard }: Gate,
  request: IncomingMessage,
  access: Route['access'],
): Answer | (() => boolean) {
  const hasToken = request.headers.authorization !== undefined;
  if (access === 'page' && !hasToken && !guard.isLoggedIn(request)) return redirect(302, '/login');
  return guard.admit(request);
}

function find(routes: Gate['routes'], url: string): Target | undefined {
  // Nothing but a path: an absolute address or `//host` would be taken apart differently by others.
  if (!url.startsWith('/')) throw new RequestError(400, 'the target of the request must be a path');
  const [path = '', query = ''] = url.split(/\?(.*)/s);
  const search = new URLSearchParams(query);
  const exact = path.endsWith('/') && path !== '/' ? undefined : routes.get(path);
  if (exact !== undefined) return { route: exact, rest: '', search };
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const route = folder === '/' ? undefined : routes.get(folder);
  return route === undefined ? undefined : { route, rest: path.slice(folder.length), search };
}

function handlerOf(methods: Route['methods'], method: string): Route['methods']['GET'] {
  if (method === 'GET' || method === 'HEAD') return methods.GET;
  return method === 'POST' ? methods.POST : undefined;
}

function notAllowed({ methods }: Route): RequestError {
  const names = Object.keys(methods).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]));
  const allow = names.join(', ');
  return new RequestError(405, `there is ${allow}`, { allow });
}

function refusal(error: unknown, request: IncomingMessage, log: Logger): Answer {
  // What has a body that nobody reads would have it taken for the next request.
  const close = request.complete ? {} : { connection: 'close' };
  if (error instanceof RequestError) {
    return json(error.status, { error: error.message }, { ...close, ...error.headers });
  }
  log.error({ err: error, method: request.method }, 'a request to the admin server failed');
  return json(500, { error: 'the gateway failed at this; its log says more' }, close);
}
