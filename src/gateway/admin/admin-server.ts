// The HTTP side of a gateway for its operators: dashboard, its API, metrics, health, drain and reload.

import { createServer, type Server } from 'node:http';
import { listenHttp } from '../http/listen.js';
import { oneAtATime } from '../http/one-at-a-time.js';
import type { ObservedGateway } from '../observed-gateway.js';
import { Access } from './access.js';
import { type AdminOptions, type AdminPlan, checkAdminOptions, checkAdminToken } from './options.js';
import { serveRequest } from './router.js';
import { routesOf } from './routes.js';
import { SnapshotFeed } from './snapshot-feed.js';
import { loadDashboard, type StaticFiles } from './static-files.js';
import { Stream } from './stream.js';

const maxConnections = 256;
const maxHeaderBytes = 8192;
const headersTimeoutMs = 5000;
const requestTimeoutMs = 10_000;
const keepAliveTimeoutMs = 5000;
/** Of a connection on which nothing moves: one whose answer is not taken, too. */
const idleTimeoutMs = 30_000;
const checkIntervalMs = 1000;

const noFiles: StaticFiles = new Map();

/** An admin server that listens. */
export interface AdminServer {
  /** `http://host:port`. */
  readonly url: string;
  /** Those who look on at the moment. */
  readonly viewers: number;
  /**
   * Replaces the token; whoever has logged in with another one has to log in again.
   *
   * @throws HawserError ERR_HAWSER_CONFIG for one that cannot be, or none where one is needed; then the old one stays.
   */
  setToken(token: string | undefined): void;
  /** Ends all connections. */
  close(): Promise<void>;
}

/**
 * Opens the admin server of a gateway.
 *
 * @throws HawserError (rejects) ERR_HAWSER_CONFIG for a token or hosts that cannot be, ERR_HAWSER_ARGUMENT for other options;
 * ERR_HAWSER_ADDRESS_IN_USE, ERR_HAWSER_ADDRESS_NOT_AVAILABLE, ERR_HAWSER_PERMISSION, ERR_HAWSER_TOO_MANY_FILES, ERR_HAWSER_SYSTEM.
 */
export async function openAdmin(gateway: ObservedGateway, options: AdminOptions): Promise<AdminServer> {
  const plan = checkAdminOptions(options);
  const files = plan.dashboard ? await loadDashboard() : noFiles;
  const access = new Access(plan.token, plan.clock, plan.log);
  const server = createServer({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: checkIntervalMs,
  });
  server.maxConnections = maxConnections;
  server.timeout = idleTimeoutMs;
  const url = await listenHttp(server, plan.address, 'the admin server');
  access.usePort(Number(new URL(url).port));
  return serve(gateway, plan, { files, access, server, url });
}

function serve(
  gateway: ObservedGateway,
  plan: AdminPlan,
  { files, access, server, url }: { files: StaticFiles; access: Access; server: Server; url: string },
): AdminServer {
  const feed = new SnapshotFeed(gateway, plan.clock, plan.log, plan.dashboard);
  const stream = new Stream(feed);
  const routes = routesOf({ gateway, plan, access, feed, stream, files });
  const gate = { routes, access, hosts: new Set(plan.hosts), log: plan.log };
  server.on(
    'request',
    oneAtATime((request, response) => serveRequest(gate, request, response)),
  );
  plan.log.info({ url, token: access.isClosed ? 'needed' : 'none' }, 'admin server listens');
  return {
    url,
    get viewers() {
      return stream.viewers;
    },
    setToken: (token) => access.setToken(checkAdminToken(token, plan.isLoopback)),
    close: () =>
      new Promise((resolve) => {
        feed.close();
        stream.close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
