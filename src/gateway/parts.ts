// Everything that a gateway has opened, and the order in which that is done.

import { throwIfAborted, unlessAborted } from '../base/abort.js';
import type { ServerKey } from '../token/server-key.js';
import type { ChannelMap } from '../transport/channels.js';
import { checkServerOptions, type ServerOptions } from '../transport/options.js';
import { Server } from '../transport/server.js';
import { Captures } from './capture/captures.js';
import { Closers } from './closers.js';
import { isLoopback } from './config-check.js';
import { configError } from './config-values.js';
import type { Gateway, GatewayUrls } from './gateway.js';
import { checkCalled, loadHandlers } from './handler-module.js';
import type { GatewayHandlers } from './handlers.js';
import type { InteractionLayer } from './layers/interaction.js';
import type { KeysLayer } from './layers/keys.js';
import type { Layer, LayerContext } from './layers/layer.js';
import { echoMessages } from './layers/messages.js';
import type { SessionsLayer } from './layers/sessions.js';
import type { SyncLayer } from './layers/sync.js';
import { GatewayListener } from './listener.js';
import { LimitedLog } from './log/limited-log.js';
import { logEvents } from './log/log-events.js';
import type { Logger } from './log/logger.js';
import { OperatorSide } from './operator-side.js';
import { type DrainPlan, type GatewayPlan, type LimitsPlan, type ListenerPlan, serves } from './plan.js';
import { readSecret } from './secrets.js';
import { readServerKeys, type ServerKeys } from './server-keys.js';
import type { GatewaySource } from './source.js';
import { healthOf } from './tokens/health.js';
import { type NetcodeTokens, netcodeTokensOf } from './tokens/netcode-tokens.js';
import type { Minters } from './tokens/token-endpoint.js';

const resetKeyBytes = 32;

/** What the opening of a listener goes by. */
interface Opening {
  readonly handlers: GatewayHandlers;
  readonly warn: (message: string) => void;
  readonly signal: AbortSignal;
}

export class GatewayParts {
  readonly listeners: GatewayListener[] = [];
  readonly operators: OperatorSide;
  readonly captures: Captures;
  readonly #plan: GatewayPlan;
  readonly #log: Logger;
  readonly #closers: Closers;
  /** Aborted when the gateway begins to end. */
  readonly #ending = new AbortController();
  readonly #netcode = new Map<string, NetcodeTokens | undefined>();
  interaction: InteractionLayer | undefined;
  sync: SyncLayer | undefined;
  sessions: SessionsLayer | undefined;
  keys: KeysLayer | undefined;
  /** What a reload changes. */
  limits: LimitsPlan;
  drainPlan: DrainPlan;
  #keys: ServerKeys | undefined;
  #minters: Minters = new Map();
  #tokensUrl: string | undefined;

  constructor(plan: GatewayPlan, log: Logger) {
    this.#plan = plan;
    this.#log = log;
    this.limits = plan.limits;
    this.drainPlan = plan.drain;
    this.operators = new OperatorSide(plan, log);
    this.captures = new Captures(plan.capture);
    this.#closers = new Closers((error) =>
      log.error({ err: error }, 'a part of the gateway could not be closed'),
    );
  }

  get plan(): GatewayPlan {
    return this.#plan;
  }

  get urls(): GatewayUrls {
    return { ...this.operators.urls, tokens: this.#tokensUrl };
  }

  /** Read before anything is opened. */
  get keysInUse(): ServerKeys {
    if (this.#keys === undefined) throw new Error('the keys have not been read');
    return this.#keys;
  }

  /** What is known of the netcode tokens of a listener; undefined where netcode is not spoken. */
  netcodeOf(listener: string): NetcodeTokens | undefined {
    return this.#netcode.get(listener);
  }

  /** The layers that there are, in the order in which they are drained. */
  get layers(): readonly Layer[] {
    return [this.sessions, this.sync, this.keys, this.interaction].filter((layer) => layer !== undefined);
  }

  // ---- Opening -----------------------------------------------------------------------------------------------------

  /**
   * Opens everything: first what operators see, then stores, sockets with their layers, and what lets clients in.
   *
   * @param prepared called when the layers are there, before the lease of the sessions is waited for.
   * @throws HawserError (rejects); ERR_HAWSER_ABORTED when the signal came first.
   */
  async open(
    gateway: Gateway,
    { log }: GatewaySource,
    signal: AbortSignal,
    prepared: () => void,
  ): Promise<void> {
    const plan = this.#plan;
    const warn = (message: string): void => log.warn({}, message);
    this.#keys = readServerKeys(plan, undefined, warn);
    // Code of the user's, here and in #setUp, may never come to its end.
    const handlers = await unlessAborted(loadHandlers(plan.handlers, plan.base), signal);
    checkCalled(handlers, (layer) => serves(plan, layer));
    throwIfAborted(signal);
    if (plan.log.events) this.#tellEvents(gateway.name);
    await this.operators.open(gateway, this.#closers);
    throwIfAborted(signal);
    await this.#openLayers({ handlers, log }, signal);
    for (const listener of plan.listeners) {
      await this.#listen(gateway, listener, { handlers, warn, signal });
      throwIfAborted(signal);
    }
    prepared();
    await this.sessions?.start(signal);
    throwIfAborted(signal);
    if (plan.tokens === undefined) return;
    await this.makeMinters(this.keysInUse.keys[0]);
    await this.#openTokens(gateway, plan.tokens);
    throwIfAborted(signal);
  }

  #tellEvents(gateway: string): void {
    const addresses = (): readonly string[] => this.listeners.map(({ server }) => server.address);
    const events = logEvents(this.#log, { gateway, addresses });
    // The states until the end are told, too.
    this.operators.closeLast(() => events[Symbol.dispose]());
  }

  async #openLayers(context: LayerContext, signal: AbortSignal): Promise<void> {
    const { sync, sessions, sae } = this.#plan;
    // Modules of layers are loaded where they are served: all of them take twice as long as everything else.
    if (serves(this.#plan, 'interaction')) {
      const { InteractionLayer } = await import('./layers/interaction.js');
      this.interaction = new InteractionLayer(context);
    }
    if (sync !== undefined) {
      const { SyncLayer } = await import('./layers/sync.js');
      this.sync = this.#closed(await SyncLayer.open(sync, context));
    }
    throwIfAborted(signal);
    if (sae !== undefined) {
      const { KeysLayer } = await import('./layers/keys.js');
      this.keys = this.#closed(await KeysLayer.open(sae, context));
    }
    throwIfAborted(signal);
    if (sessions !== undefined) {
      const { SessionsLayer } = await import('./layers/sessions.js');
      this.sessions = this.#closed(await SessionsLayer.open(sessions, context, signal));
    }
    throwIfAborted(signal);
  }

  #closed<L extends Layer>(layer: L): L {
    this.#closers.add(() => layer.close());
    return layer;
  }

  async #listen(gateway: Gateway, plan: ListenerPlan, { handlers, warn, signal }: Opening): Promise<void> {
    const { keys, made } = this.keysInUse;
    const netcode = netcodeTokensOf(plan, made);
    this.#netcode.set(plan.name, netcode);
    const options: ServerOptions<ChannelMap> = {
      ...plan.options,
      freshKeys: plan.options.freshKeys ?? made,
      ...this.#publicAddresses(plan),
      ...this.limits,
      channels: plan.channels,
      protocolId: this.#plan.protocolId,
      keys,
      ...(netcode !== undefined && { netcode: { tokenLifetimeMs: netcode.tokenLifetimeMs } }),
      ...(plan.resetKey !== undefined && { resetKey: this.#resetKey(plan, warn) }),
      ...(plan.layers.includes('keys') && this.keys !== undefined && { secretOf: this.keys.secretOf }),
    };
    const { restartWarning } = checkServerOptions(options);
    if (restartWarning !== undefined) warn(`listener ${plan.name}: ${restartWarning}`);
    const server = await Server.listen(options);
    this.#closers.add(() => server.close());
    const failures = new LimitedLog(this.#log);
    server.on('listenerError', (error, source) => {
      failures.tell(
        source,
        'error',
        { err: error, listener: plan.name, source },
        `a listener of ${source} failed`,
      );
    });
    this.listeners.push(new GatewayListener(plan, server));
    // Nobody can have connected before the next turn.
    for (const name of plan.layers) {
      if (name !== 'messages') this[name]?.serve(server);
    }
    await unlessAborted(this.#setUp(gateway, plan, server, handlers), signal);
  }

  async #setUp(
    gateway: Gateway,
    plan: ListenerPlan,
    server: Server<ChannelMap>,
    { setup }: GatewayHandlers,
  ): Promise<void> {
    if (setup === undefined) {
      if (plan.layers.includes('messages')) echoMessages(server, plan.messageChannels);
      return;
    }
    const { sync, sessionServer: sessions, sae } = gateway;
    await setup(server, {
      listener: plan.name,
      log: this.#log.child({ listener: plan.name }),
      signal: this.#ending.signal,
      ...(sync !== undefined && { sync }),
      ...(sessions !== undefined && { sessions }),
      ...(sae !== undefined && { sae }),
    });
  }

  /** Tokens of a gateway that advertises an address list it. */
  #publicAddresses({ layers, publicAddresses }: ListenerPlan): {
    readonly publicAddresses?: readonly string[];
  } {
    const advertise = layers.includes('sessions') ? this.#plan.sessions?.advertise : undefined;
    if (advertise === undefined) return {};
    return { publicAddresses: [...new Set([advertise, ...publicAddresses])] };
  }

  #resetKey({ name, resetKey }: ListenerPlan, warn: (message: string) => void): Uint8Array {
    const setting = `the resetKey of the listener ${name}`;
    const text = resetKey === undefined ? '' : readSecret(setting, resetKey, this.#plan.base, warn);
    const bytes = Buffer.from(text, 'base64url');
    if (/^[\w-]{43}$/.test(text) && bytes.length === resetKeyBytes) return Uint8Array.from(bytes);
    throw configError(
      `${setting} must be 32 bytes as 43 characters of base64url; got ${text.length} characters`,
    );
  }

  // ---- Tokens ------------------------------------------------------------------------------------------------------

  /** @param key that new tokens are sealed with from now on, where tokens are given. */
  async makeMinters(key: ServerKey): Promise<void> {
    if (this.#plan.tokens === undefined) return;
    const { makeMinters } = await import('./tokens/minters.js');
    this.#minters = await makeMinters({
      listeners: this.listeners,
      key,
      netcodeOf: ({ name }) => this.#netcode.get(name),
      sessionAddresses: (limit) => this.sessions?.addresses(limit) ?? [],
    });
  }

  async #openTokens(gateway: Gateway, address: string): Promise<void> {
    const { openTokenEndpoint } = await import('./tokens/token-endpoint.js');
    const endpoint = await openTokenEndpoint(
      {
        address,
        minters: () => this.#minters,
        health: () => healthOf(gateway.snapshot(), this.#plan.protocolId),
      },
      'choose another as tokens.address of the configuration, or with --http HOST:PORT, or --http off',
    );
    this.#tokensUrl = endpoint.url;
    if (!isLoopback(address)) {
      const warning =
        'whoever reaches the token endpoint gets tokens of this gateway, under any client id: it is for development, and listens beyond this machine';
      this.#log.warn({ url: endpoint.url }, warning);
    }
    this.#closers.add(() => endpoint.close());
  }

  /** From now on these keys are in use. */
  setKeys(keys: ServerKeys): void {
    for (const { server } of this.listeners) server.setKeys(keys.keys);
    this.#keys = keys;
  }

  /** Tells the user's module that the gateway begins to end. */
  announceEnd(): void {
    this.#ending.abort();
  }

  /** @param stopped called when every socket and store is closed, and those who look on may still ask. */
  async close(stopped: () => void): Promise<void> {
    this.announceEnd();
    await this.#closers.close();
    stopped();
    await this.operators.close();
  }
}
