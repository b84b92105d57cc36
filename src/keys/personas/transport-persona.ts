// The connections of this package as a device: keys are mixed into theirs, while traffic goes on (docs/protocol.md section 13).

import { checkFunction, checkInteger, checkOptions, checkText } from '../../base/check.js';
import { type Clock, systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { answerOf } from '../../base/isolate.js';
import { type Random, systemRandom } from '../../base/random.js';
import type { ChannelMap } from '../../transport/channels.js';
import type { Connection } from '../../transport/connection.js';
import type { KeyUpdateInfo, SecretSource, SecretUser } from '../../transport/key-update.js';
import type { Peer } from '../../transport/peer.js';
import type { Server } from '../../transport/server.js';
import { deviceError } from './device-error.js';
import { KeyedLink, type LinkActions } from './keyed-link.js';
import type { DeviceKey, DeviceStatus, Persona, PersonaContext } from './persona.js';
import { TransportKeys } from './transport-keys.js';

/** Options of {@link TransportPersona}. */
export interface TransportPersonaOptions {
  /**
   * Disconnects a connection that has no live key mixed in for so long although there is one to be used, in milliseconds, 1 to 3,600,000.
   * By default such a connection stays.
   */
  readonly requireKeyMs?: number;
  /** Of the pauses between attempts; that of the system by default. */
  readonly clock?: Clock;
  /** Of their jitter. */
  readonly random?: Random;
}

const optionNames = ['requireKeyMs', 'clock', 'random'] as const;
const maxSaeIdBytes = 1024;
const minKeyBits = 128;
const maxKeyBits = 8192;
const refusal = 'no key is in use on this connection';

/** All of one peer. */
interface Device {
  readonly keys: TransportKeys;
  /** The connections that are open; of each server and each connection at most one. */
  readonly links: Set<KeyedLink>;
  /** The connections that were given to `attach`, those that are being made anew included. */
  attached: number;
  /** What this end has rotated to. */
  current: string | undefined;
  failedClosed: boolean;
}

/**
 * Mixes keys into connections: those of servers that it is to `serve`, and those that are given to `attach`. Give `secretOf` to
 * `Server.listen`, and to `connect`, with them: through it the other end finds the live keys, and no others.
 *
 * A connection has one key of each direction at a time, and both ends change to the next in one update: whichever end rotates first brings
 * the other along, which has the key live. So no message is lost or late. Without a connection a key takes effect with the next one, which
 * is given a live key by either end as soon as it is there.
 */
export class TransportPersona implements Persona {
  readonly name = 'transport';
  readonly #requireKeyMs: number | undefined;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #devices = new Map<string, Device>();
  /** By peer or connection, for as long as it is there. */
  readonly #users = new WeakMap<object, Device>();
  readonly #releases = new Set<() => void>();
  readonly #seen: ((peerSaeId: string, keyId: string) => void)[] = [];
  #closed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: TransportPersonaOptions = {}) {
    checkOptions('options', options, optionNames);
    const { requireKeyMs } = options;
    this.#requireKeyMs =
      requireKeyMs === undefined ? undefined : checkInteger('requireKeyMs', requireKeyMs, 1, 3_600_000);
    this.#clock = options.clock ?? systemClock;
    this.#random = checkFunction('random', options.random ?? systemRandom);
  }

  // ---- Connections -------------------------------------------------------------------------------------------------

  /** The live keys of whom a connection is with, for the option of that name. */
  readonly secretOf: SecretSource<SecretUser> = (secretId, user) => {
    const device = this.#users.get(user);
    if (device === undefined || device.failedClosed) return undefined;
    return device.keys.named(secretId)?.secret.bytes;
  };

  /**
   * Takes on a client's connection, until it ends; when it is made anew after a reset, that one too.
   *
   * @param peerSaeId whom it is with, which is the caller's to know.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
   */
  attach<C extends ChannelMap>(peerSaeId: string, connection: Connection<C>): void {
    const device = this.#deviceFor(peerSaeId);
    const actions: LinkActions = {
      update: (options) => connection.updateKeys(options),
      disconnect: (reason) => void connection.close(0, reason),
    };
    let link: KeyedLink | undefined;
    const onState = (): void => {
      if (connection.connected === (link !== undefined)) return;
      if (link !== undefined) this.#unlink(peerSaeId, device, link);
      link = connection.connected ? this.#link(device, actions) : undefined;
    };
    const onUpdate = (info: KeyUpdateInfo): void => {
      if (link !== undefined) this.#updated(peerSaeId, device, link, info);
    };
    const release = (): void => {
      this.#releases.delete(release);
      connection.off('state', onState).off('keyUpdate', onUpdate).off('disconnect', release);
      this.#users.delete(connection);
      --device.attached;
      if (link !== undefined) this.#unlink(peerSaeId, device, link);
      else this.#forget(peerSaeId, device);
      link = undefined;
    };
    ++device.attached;
    this.#releases.add(release);
    this.#users.set(connection, device);
    connection.on('state', onState).on('keyUpdate', onUpdate).on('disconnect', release);
    onState();
  }

  /**
   * Takes on the peers of a server: those that are there, and each that connects.
   *
   * @param saeOf whom a peer is, undefined for one that is to be left alone. When it throws, the peer is disconnected, and the event
   * `listenerError` of the server has the error.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
   */
  serve<C extends ChannelMap>(server: Server<C>, saeOf: (peer: Peer<C>) => string | undefined): void {
    checkFunction('saeOf', saeOf);
    this.#checkOpen();
    const links = new Map<
      Peer<C>,
      { readonly peerSaeId: string; readonly device: Device; readonly link: KeyedLink }
    >();
    const onConnect = (peer: Peer<C>): void => {
      let device: Device;
      let peerSaeId: string | undefined;
      try {
        peerSaeId = answerOf(saeOf(peer));
        if (peerSaeId === undefined) return;
        device = this.#deviceFor(peerSaeId);
      } catch (error) {
        peer.disconnect(0, 'not accepted');
        throw error;
      }
      this.#users.set(peer, device);
      const link = this.#link(device, {
        update: (options) => peer.updateKeys(options),
        disconnect: (reason) => peer.disconnect(0, reason),
      });
      links.set(peer, { peerSaeId, device, link });
    };
    const onUpdate = (peer: Peer<C>, info: KeyUpdateInfo): void => {
      const found = links.get(peer);
      if (found !== undefined) this.#updated(found.peerSaeId, found.device, found.link, info);
    };
    const onDisconnect = (peer: Peer<C>): void => {
      const found = links.get(peer);
      links.delete(peer);
      this.#users.delete(peer);
      if (found !== undefined) this.#unlink(found.peerSaeId, found.device, found.link);
    };
    const release = (): void => {
      this.#releases.delete(release);
      server.off('connect', onConnect).off('keyUpdate', onUpdate).off('disconnect', onDisconnect);
      server.off('close', release);
      for (const peer of [...links.keys()]) onDisconnect(peer);
    };
    this.#releases.add(release);
    for (const peer of server.peers) onConnect(peer);
    server.on('connect', onConnect).on('keyUpdate', onUpdate).on('disconnect', onDisconnect);
    server.on('close', release);
  }

  // ---- Persona -----------------------------------------------------------------------------------------------------

  /** 128 bits or more; what is mixed in is always 256, derived from all of it. */
  validate(keySizeBits: number): void {
    checkInteger('keySizeBits', keySizeBits, minKeyBits, maxKeyBits);
  }

  async preConfigure(key: DeviceKey, { peerSaeId }: PersonaContext): Promise<void> {
    this.#put(this.#deviceFor(peerSaeId), key);
  }

  /**
   * Done as soon as one connection has the key; the others, to the same peer, follow. The attempt that is under way when the time is over
   * is waited for.
   */
  async rotate(key: DeviceKey | undefined, { peerSaeId, signal }: PersonaContext): Promise<void> {
    const device = this.#deviceFor(peerSaeId);
    // What is mixed in stays in: there is nothing to be undone on the connections.
    if (key === undefined) {
      device.current = undefined;
      device.failedClosed = false;
      this.#watch(device);
      return;
    }
    const { keyId } = key;
    this.#put(device, key);
    const closedBefore = device.failedClosed;
    device.failedClosed = false;
    const links = [...device.links];
    const attempts = links.map(async (link) => {
      if (
        await link.bring(
          () => link.keyId === keyId,
          () => device.keys.get(keyId),
          signal,
        )
      )
        return;
      throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection has ended');
    });
    try {
      await Promise.any(attempts);
    } catch (error) {
      const failed = links.some((link) => !link.ended);
      if (failed) {
        device.failedClosed = closedBefore;
        const cause: unknown = error instanceof AggregateError ? error.errors[0] : error;
        throw deviceError(this.name, `no connection with ${peerSaeId} has taken the key ${keyId}`, cause);
      }
    }
    device.current = keyId;
    // Also those that have come meanwhile.
    for (const link of device.links) {
      if (link.keyId !== keyId)
        this.#follow(device, link, () => link.keyId === keyId || device.current !== keyId);
    }
    this.#watch(device);
  }

  async deleteKey(keyId: string, { peerSaeId, signal }: PersonaContext): Promise<void> {
    const device = this.#devices.get(peerSaeId);
    if (device === undefined || device.keys.get(keyId) === undefined) return;
    if (device.current === keyId) throw deviceError(this.name, `the key ${keyId} is in use`);
    const attempts = [...device.links].map((link) =>
      link.bring(
        () => link.keyId !== keyId,
        () => this.#currentOf(device),
        signal,
      ),
    );
    try {
      await Promise.all(attempts);
    } catch (cause) {
      throw deviceError(this.name, `a connection with ${peerSaeId} still has the key ${keyId}`, cause);
    }
    device.keys.delete(keyId);
    for (const link of device.links) if (link.keyId === keyId) link.keyId = undefined;
    this.#watch(device);
    this.#forget(peerSaeId, device);
  }

  /** Whether a connection to the peer is there. */
  async status({ peerSaeId }: PersonaContext): Promise<DeviceStatus> {
    const device = this.#devices.get(peerSaeId);
    const links = [...(device?.links ?? [])];
    const keyed = links.filter((link) => link.keyId !== undefined && link.keyId === device?.current).length;
    const service = `transport: ${links.length} connections, ${keyed} of them under the current key`;
    return {
      connected: links.length > 0,
      service,
      currentKeyId: device?.current ?? null,
      liveKeyIds: device?.keys.ids() ?? [],
    };
  }

  async testConnection({ peerSaeId }: PersonaContext): Promise<boolean> {
    return (this.#devices.get(peerSaeId)?.links.size ?? 0) > 0;
  }

  /** Disconnects the peer, and each connection of it that comes, until the next `rotate`. */
  async failClosed({ peerSaeId }: PersonaContext): Promise<void> {
    const device = this.#deviceFor(peerSaeId);
    device.failedClosed = true;
    device.current = undefined;
    for (const link of [...device.links]) link.disconnect(refusal);
  }

  /** The peer has begun an update with one of our keys, and it is done. That says that the peer has the key, and has tried to rotate to it. */
  onPeerUses(seen: (peerSaeId: string, keyId: string) => void): void {
    this.#seen.push(checkFunction('seen', seen));
  }

  /** Leaves all connections alone, and wipes all keys. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const release of [...this.#releases]) release();
    for (const { keys } of this.#devices.values()) keys.clear();
    this.#devices.clear();
  }

  // ---- Inside ------------------------------------------------------------------------------------------------------

  #deviceFor(peerSaeId: string): Device {
    this.#checkOpen();
    checkText('peerSaeId', peerSaeId, maxSaeIdBytes);
    let device = this.#devices.get(peerSaeId);
    if (device === undefined) {
      device = {
        keys: new TransportKeys(),
        links: new Set(),
        attached: 0,
        current: undefined,
        failedClosed: false,
      };
      this.#devices.set(peerSaeId, device);
    }
    return device;
  }

  #checkOpen(): void {
    if (this.#closed) throw new HawserError('ERR_HAWSER_CLOSED', 'the persona is closed');
  }

  #currentOf(device: Device): ReturnType<TransportKeys['get']> {
    return device.current === undefined ? undefined : device.keys.get(device.current);
  }

  #put(device: Device, key: DeviceKey): void {
    if (!device.keys.put(key)) throw deviceError(this.name, `there is another key of the id ${key.keyId}`);
  }

  #link(device: Device, actions: LinkActions): KeyedLink {
    const link = new KeyedLink(actions, this.#clock, this.#random);
    device.links.add(link);
    if (device.failedClosed) link.disconnect(refusal);
    // Any live key will do: were each end to insist on its own while one has rotated and the other has not, they would never agree.
    else this.#follow(device, link, () => link.keyId !== undefined);
    this.#watch(device);
    return link;
  }

  #unlink(peerSaeId: string, device: Device, link: KeyedLink): void {
    link.end();
    device.links.delete(link);
    this.#forget(peerSaeId, device);
  }

  /** Of a peer that has neither keys nor connections nothing is kept. */
  #forget(peerSaeId: string, device: Device): void {
    const empty = device.keys.size === 0 && device.links.size === 0 && device.attached === 0;
    if (empty && !device.failedClosed && this.#devices.get(peerSaeId) === device)
      this.#devices.delete(peerSaeId);
  }

  #updated(peerSaeId: string, device: Device, link: KeyedLink, info: KeyUpdateInfo): void {
    if (info.secretId === undefined) return;
    const keyId = device.keys.named(info.secretId)?.keyId;
    // Begun with a key of ours, and that is deleted.
    if (keyId === undefined) return;
    link.updated(keyId);
    this.#watch(device);
    if (info.byPeer) for (const seen of this.#seen) seen(peerSaeId, keyId);
  }

  /** Updates without anybody waiting for it. What goes wrong is seen by `requireKeyMs` and by the next `rotate`. */
  #follow(device: Device, link: KeyedLink, done: () => boolean): void {
    const ended = (): boolean => done() || device.failedClosed;
    link.bring(ended, () => this.#currentOf(device), undefined).catch(() => undefined);
  }

  #watch(device: Device): void {
    if (this.#requireKeyMs === undefined) return;
    for (const link of device.links) {
      if (device.current === undefined || link.keyId !== undefined) link.allow();
      else link.limit(this.#requireKeyMs, refusal);
    }
  }
}
