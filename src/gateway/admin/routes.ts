// What there is on the admin server, path by path.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ObservedGateway } from '../observed-gateway.js';
import type { Access } from './access.js';
import { type Answer, json, RequestError, redirect } from './answer.js';
import { readForm } from './form.js';
import { liveness, readiness } from './health.js';
import { drain, reload } from './operations.js';
import type { AdminPlan } from './options.js';
import { checked, noQuery, peersQuery, sessionsQuery } from './query.js';
import type { SnapshotFeed } from './snapshot-feed.js';
import { fileAnswer, type StaticFile, type StaticFiles } from './static-files.js';
import type { Stream } from './stream.js';

/** A request that has passed the checks of its route. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly search: URLSearchParams;
  /** What follows the path of a route that ends in `/`. */
  readonly rest: string;
  /** Whether who asked may still. */
  readonly isAdmitted: () => boolean;
}

/** A handler that returns nothing has begun the answer itself. */
type Handler = (call: Call) => Answer | undefined | Promise<Answer>;

export interface Route {
  /** By method; what answers GET answers HEAD. */
  readonly methods: Readonly<Partial<Record<'GET' | 'POST', Handler>>>;
  /** `all` for what everybody may ask for; `page` leads who is not logged in to the login, `api` refuses them. */
  readonly access: 'all' | 'page' | 'api';
}

/** What routes are made of. */
export interface Parts {
  readonly gateway: ObservedGateway;
  readonly plan: AdminPlan;
  readonly access: Access;
  readonly feed: SnapshotFeed;
  readonly stream: Stream;
  readonly files: StaticFiles;
}

/** Before the login, a browser may have no more than that page and how it looks. */
const publicFiles = ['/login.js', '/icon.svg', '/style/theme.css', '/style/login.css'];

/** Routes by path; the paths of those that take a rest end in `/`. */
export function routesOf(parts: Parts): ReadonlyMap<string, Route> {
  return new Map([
    ...healthRoutes(parts),
    ...apiRoutes(parts),
    ...operationRoutes(parts),
    ...(parts.plan.dashboard ? pageRoutes(parts) : []),
  ]);
}

function healthRoutes({ gateway, feed }: Parts): [string, Route][] {
  const route = (answer: () => Answer): Route => ({ methods: { GET: answer }, access: 'all' });
  return [
    ['/livez', route(liveness)],
    ['/healthz', route(liveness)],
    ['/readyz', route(() => readiness(gateway, feed))],
  ];
}

function apiRoutes({ gateway, plan: { registry }, access, feed, stream }: Parts): [string, Route][] {
  const api = (GET: Handler): Route => ({ methods: { GET }, access: 'api' });
  const plain = (value: () => unknown): Route =>
    api(({ search }) => {
      noQuery(search);
      return json(200, value());
    });
  const routes: [string, Route][] = [
    ['/api/snapshot', plain(() => feed.current().text)],
    ['/api/history', plain(() => feed.samples)],
    ['/api/access', plain(() => ({ login: access.isClosed }))],
    [
      '/api/peers',
      api(({ search }) =>
        json(
          200,
          checked(() => gateway.peers(peersQuery(search))),
        ),
      ),
    ],
    ['/api/peer/', api(({ rest }) => peerAnswer(gateway, rest))],
    ['/api/sessions', api(({ search }) => sessionsAnswer(gateway, search))],
    ['/api/stream', api((call) => streamAnswer(stream, call))],
  ];
  if (registry !== undefined) {
    const metrics = async (): Promise<Answer> => ({
      status: 200,
      headers: { 'content-type': registry.contentType },
      body: await registry.metrics(),
    });
    routes.push(['/metrics', api(metrics)]);
  }
  return routes;
}

function operationRoutes({ gateway, plan: { log } }: Parts): [string, Route][] {
  return [
    ['/drain', { methods: { POST: () => drain(gateway, log) }, access: 'api' }],
    ['/reload', { methods: { POST: () => reload(gateway, log) }, access: 'api' }],
  ];
}

function pageRoutes({ access, files }: Parts): [string, Route][] {
  const serve =
    (file: StaticFile): Handler =>
    ({ request }) =>
      fileAnswer(file, request.headers['if-none-match']);
  const accessOf = (path: string): Route['access'] => {
    if (path === '/') return 'page';
    return publicFiles.includes(path) ? 'all' : 'api';
  };
  const routes = [...files].map(([path, file]): [string, Route] => [
    path,
    { methods: { GET: serve(file) }, access: accessOf(path) },
  ]);
  const login = files.get('/login');
  const loginPage: Handler = (call) => {
    if (access.isLoggedIn(call.request) || login === undefined) return redirect(302, '/');
    return serve(login)(call);
  };
  return [
    ...routes,
    ['/login', { methods: { GET: loginPage, POST: (call) => logIn(access, call) }, access: 'all' }],
    ['/logout', { methods: { POST: (call) => logOut(access, call) }, access: 'all' }],
  ];
}

function peerAnswer(gateway: ObservedGateway, rest: string): Answer {
  const id = decodeId(rest);
  const peer = id === undefined ? undefined : gateway.peer(id);
  if (peer === undefined) throw new RequestError(404, 'no peer of that id is connected');
  return json(200, peer);
}

function decodeId(text: string): string | undefined {
  try {
    return text.length > 128 ? undefined : decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function sessionsAnswer(gateway: ObservedGateway, search: URLSearchParams): Answer {
  const page = checked(() => gateway.sessions(sessionsQuery(search)));
  if (page === undefined) throw new RequestError(404, 'this gateway has no layer sessions');
  return json(200, page);
}

function streamAnswer(stream: Stream, { request, response, search, isAdmitted }: Call): Answer | undefined {
  noQuery(search);
  if (request.method === 'HEAD') return { status: 200, headers: { 'content-type': 'text/event-stream' } };
  stream.begin(response, isAdmitted);
  return undefined;
}

/** The page reads from its address why it is shown again. */
async function logIn(access: Access, { request }: Call): Promise<Answer> {
  if (!access.isClosed) return redirect(303, '/');
  const form = await readForm(request);
  try {
    const cookie = access.logIn(form.get('token') ?? '', request);
    return cookie === undefined
      ? redirect(303, '/login?wrong')
      : redirect(303, '/', { 'set-cookie': cookie });
  } catch (error) {
    if (error instanceof RequestError && error.status === 429) return redirect(303, '/login?later');
    throw error;
  }
}

function logOut(access: Access, { request }: Call): Answer {
  return redirect(303, '/login', { 'set-cookie': access.logOut(request) });
}
