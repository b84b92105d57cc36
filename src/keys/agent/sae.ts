// A secure application entity: shares keys with its peers, rotates to new ones together with them, and deletes the old ones.

import { EventEmitter } from 'node:events';
import { checkSignal } from '../../base/abort.js';
import { argumentError, checkNumber, checkOptions, checkText, describe } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { inOrder } from '../../base/in-order.js';
import { guard, isolateRejections } from '../../base/isolate.js';
import type { MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { requireLockedMemory } from '../../base/secret-bytes.js';
import type { SaeLink } from '../links/link.js';
import { type UdpAddress, UdpSocket } from '../links/udp-socket.js';
import type { Persona } from '../personas/persona.js';
import { messageLimits } from '../wire/messages.js';
import { ConnectionLink } from './connection-link.js';
import { Datagrams } from './datagrams.js';
import { Envelopes } from './envelopes.js';
import { closedError } from './errors.js';
import type { RotationResult, SaeEvents } from './events.js';
import { checkSaeOptions, maxPeers, type SaeOptions, type SaeSettings } from './options.js';
import { type DriverHost, PeerDriver } from './peer-driver.js';
import type { LinkEnd } from './peer-links.js';
import { checkPeerOptions, type PeerOptions } from './peer-options.js';
import type { SaeStatus } from './status.js';
import { StepTurns } from './step-turns.js';

/** Options of {@link Sae.rotate}. */
export interface RotateOptions {
  /** How long before it the rotation is announced, in milliseconds, 1,000 to 3,600,000; that of the peer by default. */
  readonly leadMs?: number;
  /** Gives up waiting; the rotation goes on. */
  readonly signal?: AbortSignal;
}

/** So many devices are set up at a time when an SAE is opened. */
const openedAtOnce = 64;
const maxLeadMs = 3_600_000;

/**
 * An SAE as the source document has it, master and slave: towards each of its peers it is what the peer's options say.
 *
 * What is promised of the keys of a pair, and what the events mean, is in docs/keys.md.
 */
export class Sae extends EventEmitter<SaeEvents> implements AsyncDisposable {
  readonly #settings: SaeSettings;
  readonly #envelopes: Envelopes;
  readonly #host: DriverHost;
  readonly #peers = new Map<string, PeerDriver>();
  /** Peers that are being removed: what they have begun is not over yet. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #datagrams: Datagrams;
  /** Of all peers that there were: each is closed once. */
  readonly #personas = new Set<Persona>();
  #udp: UdpSocket | undefined;
  #closing: Promise<void> | undefined;

  static {
    isolateRejections(Sae.prototype);
  }

  private constructor(settings: SaeSettings) {
    super({ captureRejections: true });
    const { saeId, signingKey, saeJsonSigningKey, store, wheel, random } = settings;
    this.#settings = settings;
    this.#envelopes = new Envelopes(saeId, { hawser: signingKey, 'sae-json': saeJsonSigningKey });
    this.#host = {
      store,
      wheel,
      random,
      turns: new StepTurns(),
      tell: (event, ...args) => guard(this, event, () => Reflect.apply(this.emit, this, [event, ...args])),
    };
    this.#datagrams = new Datagrams({
      saeId,
      peers: this.#peers,
      envelopes: (wire) => this.#envelopes.get(wire),
      monotonicMs: () => wheel.clock.now(),
      rejected: (rejection) => this.#host.tell('rejected', rejection),
    });
    this.#addPersona(settings.persona);
  }

  /**
   * Opens an SAE: the devices of all peers are set up as the store has it, and what was under way goes on.
   *
   * @returns a promise that resolves when each device was called; one that failed is called again, and its peer waits for that. When it
   *   rejects, the store and the personas stay open.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_SECRET_MEMORY, and what opening a socket fails with.
   */
  static async open(options: SaeOptions): Promise<Sae> {
    const settings = checkSaeOptions(options);
    if (settings.requireLockedMemory) requireLockedMemory();
    const sae = new Sae(settings);
    try {
      await sae.#open();
    } catch (error) {
      await sae.#abandon();
      throw error;
    }
    return sae;
  }

  /** Its id, as its peers know it. */
  get saeId(): string {
    return this.#settings.saeId;
  }

  /** The ids of its peers. */
  get peers(): readonly string[] {
    return [...this.#peers.keys()];
  }

  /** Where its datagrams come to; undefined without the option `udp`. */
  get udpAddress(): UdpAddress | undefined {
    return this.#closing === undefined ? this.#udp?.address : undefined;
  }

  /**
   * Adds a peer.
   *
   * @returns a promise that resolves when its device was called, as that of `open`.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
   */
  async addPeer(options: PeerOptions): Promise<void> {
    // What one of the same id has begun would go on beside it, in the store and at the device.
    await this.#leaving.get(options?.saeId);
    await this.#addPeer('peer', options).open();
  }

  /**
   * Has nothing to do with a peer any more. What the store has of it stays there, and the device goes on with its key; a session that is
   * under way goes on when the peer is added again.
   *
   * @returns a promise of whether there was one.
   */
  async removePeer(peerSaeId: string): Promise<boolean> {
    const peer = this.#peers.get(peerSaeId);
    if (peer === undefined) return false;
    this.#peers.delete(peerSaeId);
    this.#envelopes.unpin(peerSaeId);
    if (peer.settings.address !== undefined) this.#hostsChanged();
    const leaving = peer.close();
    this.#leaving.set(peerSaeId, leaving);
    await leaving;
    this.#leaving.delete(peerSaeId);
    return true;
  }

  /**
   * Rotates the keys shared with a peer, as the master.
   *
   * @returns a promise that resolves when the session is over: both sides use the new key.
   * @throws HawserError (rejects) ERR_HAWSER_ROTATION when both sides use the old key, with a `RotationFailure` as its cause;
   *   ERR_HAWSER_ARGUMENT, ERR_HAWSER_ABORTED, ERR_HAWSER_CLOSED.
   */
  async rotate(peerSaeId: string, options: RotateOptions = {}): Promise<RotationResult> {
    const peer = this.#peer(peerSaeId);
    checkOptions('options', options, ['leadMs', 'signal']);
    const leastMs = this.#settings.testRanges ? 1 : 1000;
    const leadMs = checkNumber('leadMs', options.leadMs ?? peer.settings.leadMs, leastMs, maxLeadMs);
    return peer.rotate(leadMs, checkSignal(options.signal));
  }

  /**
   * A key is not to be used any more: a session that is about it ends, and one that is in production counts as expired.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED; ERR_HAWSER_KEY_UNAVAILABLE when there is no such key of the peer.
   */
  revoke(peerSaeId: string, keyId: string): void {
    const peer = this.#peer(peerSaeId);
    checkText('keyId', keyId, messageLimits.idBytes);
    if (this.#settings.store.key(peerSaeId, keyId) === undefined) {
      throw new HawserError('ERR_HAWSER_KEY_UNAVAILABLE', `there is no key ${describe(keyId)} of this peer`);
    }
    peer.revoke(keyId);
  }

  /** How it stands now: its peers, sessions and keys, by their ids. */
  status(): SaeStatus {
    return {
      saeId: this.saeId,
      peers: Array.from(this.#peers.values(), (peer) => peer.status),
      dropped: this.#datagrams.drops.counts,
    };
  }

  /**
   * Has a connection with a peer: from now on messages go by it.
   *
   * @param peerSaeId whose it is. What is not signed by that peer is not taken, whoever may have connected.
   * @returns what is to be told of the connection.
   * @throws HawserError ERR_HAWSER_ARGUMENT when there is no such peer, ERR_HAWSER_CLOSED.
   */
  accept(connection: MessageConnection, peerSaeId: string): MessageReceiver {
    const peer = this.#peer(peerSaeId);
    if (typeof connection?.send !== 'function') {
      throw argumentError('connection', 'a MessageConnection', describe(connection));
    }
    const link = new ConnectionLink(connection);
    const end = peer.link(link);
    return {
      message: (message) => end.receive(message),
      drained: () => {
        if (link.takeLack()) peer.linkDrained(link);
      },
      closed: () => end.close(),
    };
  }

  /**
   * Has a link of any other kind to a peer: from now on messages go by it.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when there is no such peer, ERR_HAWSER_CLOSED.
   */
  link(peerSaeId: string, link: SaeLink): LinkEnd {
    const peer = this.#peer(peerSaeId);
    if (typeof link?.send !== 'function') throw argumentError('link', 'a SaeLink', describe(link));
    return peer.link(link);
  }

  /**
   * Stops: what is under way goes on when the SAE is opened again. Its timers are cancelled; the store and the personas are closed, and with
   * that all keys in memory are wiped. Closing twice is closing once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open(): Promise<void> {
    const { udp, peers } = this.#settings;
    // All are checked before any is begun with.
    const added = peers.map((peer, index) => this.#addPeer(`peers[${index}]`, peer));
    if (udp !== undefined) {
      this.#udp = await UdpSocket.open(udp, this.#datagrams);
      for (const peer of added) this.#linkByUdp(peer);
    }
    await inOrder(added, openedAtOnce, (peer) => peer.open());
  }

  #addPeer(name: string, options: PeerOptions): PeerDriver {
    if (this.#closing !== undefined) throw closedError();
    const settings = checkPeerOptions(name, options, this.#settings);
    const { peerSaeId, wire, publicKey, persona } = settings;
    if (this.#peers.has(peerSaeId)) {
      throw argumentError(`${name}.saeId`, 'of one peer only', describe(peerSaeId));
    }
    if (this.#peers.size === maxPeers) {
      throw argumentError(name, `one of ${maxPeers} at most`, `more than ${maxPeers}`);
    }
    const envelope = this.#envelopes.pin(peerSaeId, wire, publicKey);
    const peer = new PeerDriver(settings, envelope, this.#host);
    this.#peers.set(peerSaeId, peer);
    this.#addPersona(persona);
    if (settings.address !== undefined) this.#hostsChanged();
    this.#linkByUdp(peer);
    return peer;
  }

  #addPersona(persona: Persona): void {
    if (this.#personas.has(persona)) return;
    this.#personas.add(persona);
    persona.onPeerUses?.((peerSaeId, keyId) => {
      const peer = this.#peers.get(peerSaeId);
      if (peer?.settings.persona === persona) peer.peerUses(keyId);
    });
  }

  #linkByUdp(peer: PeerDriver): void {
    const { address } = peer.settings;
    if (this.#udp !== undefined && address !== undefined) peer.link(this.#udp.linkTo(address));
  }

  #hostsChanged(): void {
    const addresses = Array.from(this.#peers.values(), (peer) => peer.settings.address?.host);
    this.#datagrams.setHosts(new Set(addresses.filter((host) => host !== undefined)));
  }

  #peer(peerSaeId: string): PeerDriver {
    if (this.#closing !== undefined) throw closedError();
    const peer = this.#peers.get(peerSaeId);
    if (peer !== undefined) return peer;
    throw argumentError('peerSaeId', 'the id of a peer', describe(peerSaeId));
  }

  async #close(): Promise<void> {
    await this.#abandon();
    // The last, when nothing uses a key any more.
    await Promise.allSettled(Array.from(this.#personas, (persona) => persona.close?.()));
    await this.#settings.store.close();
  }

  /** Ends all work; the store and the personas stay as they are. */
  async #abandon(): Promise<void> {
    await this.#udp?.close();
    await Promise.all([
      ...this.#leaving.values(),
      ...Array.from(this.#peers.values(), (peer) => peer.close()),
    ]);
    this.#envelopes.close();
  }
}
