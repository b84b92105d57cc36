// A gateway that is composed from a configuration: listeners with their layers, and what operators see and steer it by.

import { EventEmitter } from 'node:events';
import { HawserError } from '../base/errors.js';
import { guard, isolateRejections } from '../base/isolate.js';
import { packageVersion } from '../base/package-version.js';
import type { Sae } from '../keys/agent/sae.js';
import type { SessionServer } from '../sessions/server/session-server.js';
import type { SyncManager } from '../sync/manager/manager.js';
import type { ChannelMap } from '../transport/channels.js';
import type { Server } from '../transport/server.js';
import type { Capture, CaptureOptions } from './capture/capture.js';
import { diagnostics } from './diagnostics.js';
import { drainGateway } from './drain.js';
import type { Logger } from './log/logger.js';
import type { ObservedGateway, ReloadReport } from './observed-gateway.js';
import { GatewayParts } from './parts.js';
import type {
  GatewaySnapshot,
  GatewayState,
  PeerDetail,
  PeersPage,
  PeersQuery,
  SessionsPage,
} from './snapshot.js';
import type { GatewaySource } from './source.js';
import type { NetcodeTokens } from './tokens/netcode-tokens.js';
import { findPeer, listPeers } from './view/peer-list.js';
import { ProcessView } from './view/process-view.js';
import { listSessions } from './view/session-list.js';

/** The events of a gateway with the arguments of their listeners. */
export interface GatewayEvents {
  /** It is in another state. */
  state: [state: GatewayState];
  /** A reload is through. */
  reload: [report: ReloadReport];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

/** Where a gateway is reached, of those addresses that it has. */
export interface GatewayUrls {
  /** `http://host:port`, of each; undefined where there is none. */
  readonly admin: string | undefined;
  /** Of the token endpoint. */
  readonly tokens: string | undefined;
  /** Of the further address with metrics alone. */
  readonly metrics: string | undefined;
  /** The path of the control socket. */
  readonly control: string | undefined;
}

/** One listener of a gateway. */
export interface GatewayServer {
  /** The name of the listener. */
  readonly name: string;
  /** The server of the listener. */
  readonly server: Server<ChannelMap>;
}

/**
 * A gateway: made by `openGateway`. It runs until `drain` or `close`.
 *
 * States: STARTING (it opens stores and sockets, and waits for a lease), RUNNING, DRAINING (it lets its peers go), STOPPED.
 */
export class Gateway extends EventEmitter<GatewayEvents> implements ObservedGateway, AsyncDisposable {
  /** Its name, as the configuration says. */
  readonly name: string;
  readonly #source: GatewaySource;
  readonly #parts: GatewayParts;
  readonly #process: ProcessView;
  readonly #startedAtMs: number = Date.now();
  readonly #version: string = packageVersion();
  readonly #ended = new AbortController();
  #state: GatewayState = 'STARTING';
  #drainsUntilMs: number | null = null;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #reloading: Promise<unknown> = Promise.resolve();
  /** One that has not begun. */
  #nextReload: Promise<ReloadReport> | undefined;

  static {
    isolateRejections(Gateway.prototype);
  }

  /** @internal Use `openGateway`. */
  constructor(source: GatewaySource) {
    super({ captureRejections: true });
    this.#source = source;
    this.name = source.plan.name;
    this.#parts = new GatewayParts(source.plan, source.log);
    this.#process = new ProcessView();
  }

  /**
   * @internal Opens everything, or nothing: what was opened is closed when a later part fails.
   *
   * @throws HawserError (rejects) as `openGateway`.
   */
  async open(
    signal: AbortSignal | undefined,
    prepared: ((gateway: Gateway) => void) | undefined,
  ): Promise<void> {
    const ended = signal === undefined ? this.#ended.signal : AbortSignal.any([signal, this.#ended.signal]);
    try {
      await this.#parts.open(this, this.#source, ended, () => prepared?.(this));
      this.#setState('RUNNING');
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Where it stands now. */
  get state(): GatewayState {
    return this.#state;
  }

  /** The logger that it was given, or made. */
  get log(): Logger {
    return this.#source.log;
  }

  /** Its listeners, in the order of the configuration. */
  get servers(): readonly GatewayServer[] {
    return this.#parts.listeners;
  }

  /** The manager of the layer `sync`. */
  get sync(): SyncManager | undefined {
    return this.#parts.sync?.manager;
  }

  /** The server of the layer `sessions`. */
  get sessionServer(): SessionServer | undefined {
    return this.#parts.sessions?.server;
  }

  /** The SAE of the layer `keys`. */
  get sae(): Sae | undefined {
    return this.#parts.keys?.sae;
  }

  /** Where its other sides are reached. */
  get urls(): GatewayUrls {
    return this.#parts.urls;
  }

  /** Ids of the server keys in use, the first of them for new tokens, and whether that was made for this run. */
  get keys(): { readonly ids: readonly number[]; readonly made: boolean } {
    const { keys, made } = this.#parts.keysInUse;
    return { ids: keys.map(({ id }) => id), made };
  }

  /** Which application it serves. */
  get protocolId(): bigint {
    return this.#source.plan.protocolId;
  }

  /** What is known of the netcode tokens of a listener, by its name; undefined where netcode is not spoken. */
  netcodeTokens(listener: string): NetcodeTokens | undefined {
    return this.#parts.netcodeOf(listener);
  }

  // ---- What it says of itself --------------------------------------------------------------------------------------

  /** What it says of itself now. */
  snapshot(): GatewaySnapshot {
    const parts = this.#parts;
    const interaction = parts.interaction?.snapshot();
    const sync = parts.sync?.snapshot();
    const sessions = parts.sessions?.snapshot();
    const keys = parts.keys?.snapshot();
    return {
      timeMs: Date.now(),
      name: this.name,
      version: this.#version,
      node: process.versions.node,
      pid: process.pid,
      startedAtMs: this.#startedAtMs,
      state: this.#state,
      drainsUntilMs: this.#drainsUntilMs,
      configFile: this.#source.file ?? null,
      process: this.#process.snapshot(),
      listeners: parts.listeners.map((listener) => listener.snapshot(parts.limits.maxPeers)),
      layers: {
        ...(interaction !== undefined && { interaction }),
        ...(sync !== undefined && { sync }),
        ...(sessions !== undefined && { sessions }),
        ...(keys !== undefined && { keys }),
      },
    };
  }

  peers(query: PeersQuery = {}): PeersPage {
    return listPeers(this.#parts.listeners, query);
  }

  peer(id: string): PeerDetail | undefined {
    return findPeer(this.#parts.listeners, id);
  }

  sessions(query: Pick<PeersQuery, 'search' | 'limit' | 'offset'> = {}): SessionsPage | undefined {
    const server = this.sessionServer;
    return server === undefined ? undefined : listSessions(server, query);
  }

  /**
   * @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_CLOSED when it has stopped; ERR_HAWSER_CAPTURE_REFUSED for plaintext that the
   * configuration does not allow (`capture.plaintext`); ERR_HAWSER_CAPTURE_BUSY.
   */
  capture(options: CaptureOptions): Capture {
    if (this.#state === 'STOPPED') throw closedError();
    const { captures, listeners } = this.#parts;
    return captures.open(listeners, options, { version: this.#version, log: this.log });
  }

  // ---- Steering ----------------------------------------------------------------------------------------------------

  /**
   * Reads its configuration again, all secrets included, and applies what can be applied without a restart: server keys, limits, the token
   * of the admin server, what may be captured, the level of the log, how it drains. Reloads follow each other; those that are asked for
   * while one goes on are one.
   *
   * @throws HawserError (rejects) ERR_HAWSER_CONFIG: then nothing has changed; ERR_HAWSER_CLOSED unless it is RUNNING.
   */
  reload(): Promise<ReloadReport> {
    this.#nextReload ??= this.#reloading.then(() => {
      this.#nextReload = undefined;
      return this.#reload();
    });
    const reload = this.#nextReload;
    this.#reloading = reload.catch(() => undefined);
    return reload;
  }

  async #reload(): Promise<ReloadReport> {
    if (this.#state !== 'RUNNING') throw closedError();
    const beganMs = performance.now();
    const publish = (report: ReloadReport | null, error: string | null): void => {
      if (!diagnostics.reload.hasSubscribers) return;
      diagnostics.reload.publish({
        gateway: this.name,
        report,
        error,
        durationMs: performance.now() - beganMs,
      });
    };
    try {
      const report = await this.#source.reload(this.#parts);
      publish(report, null);
      guard(this, 'reload', () => this.emit('reload', report));
      return report;
    } catch (error) {
      publish(null, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /**
   * Ends gently: is not ready from now on, hands its sessions over, lets syncs that are under way end, asks its peers to go, and closes
   * when they have or when the deadline of the configuration has passed. Calling it again returns the same promise.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    if (this.#state === 'RUNNING') {
      const { deadlineMs } = this.#parts.drainPlan;
      this.#drainsUntilMs = Date.now() + deadlineMs;
      this.#setState('DRAINING');
      this.#ended.abort();
      try {
        await drainGateway(this.name, this.#parts);
      } catch (error) {
        this.log.error({ err: error }, 'the drain failed');
        await this.close();
        throw error;
      }
    }
    await this.close();
  }

  /** Ends at once: peers are disconnected, stores closed. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ended.abort();
    await this.#parts.close(() => {
      this.#process[Symbol.dispose]();
      this.#setState('STOPPED');
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #setState(state: GatewayState): void {
    if (this.#state === state) return;
    this.#state = state;
    if (diagnostics.state.hasSubscribers) diagnostics.state.publish({ gateway: this.name, state });
    guard(this, 'state', () => this.emit('state', state));
  }
}

function closedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the gateway is not running');
}
