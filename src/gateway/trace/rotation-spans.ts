// A span for each key rotation, from its first state to its last: the states are its events, the calls of the device spans within it.

import type { Span } from '@opentelemetry/api';
import type { KeysDeviceMessage, KeysTransitionMessage } from '../../keys/agent/diagnostics.js';
import type { SpanMaker } from './span-maker.js';

interface Rotation {
  readonly sessionId: string;
  readonly span: Span;
}

/** So many at a time; each pair of SAEs has one. */
const maxRotations = 10_000;

/** Ends after which both sides use the old key. */
const failed: ReadonlySet<string | null> = new Set(['aborted', 'rolled_back']);

export class RotationSpans {
  readonly #maker: SpanMaker;
  /** By the pair of SAEs, the oldest first. */
  readonly #rotations = new Map<string, Rotation>();

  constructor(maker: SpanMaker) {
    this.#maker = maker;
  }

  transition(message: KeysTransitionMessage): void {
    const { saeId, peerSaeId, sessionId, from, to, cause, outcome, newKeyId } = message;
    const pair = pairOf(saeId, peerSaeId);
    const { span } = this.#rotationOf(pair, message);
    if (newKeyId !== null) span.setAttribute('hawser.key.new', newKeyId);
    span.addEvent(to, { 'hawser.state.from': from, 'hawser.cause': cause });
    if (outcome === null) return;
    span.setAttribute('hawser.outcome', outcome);
    this.#maker.end(span, failed.has(outcome) ? outcome : undefined);
    if (this.#rotations.get(pair)?.sessionId === sessionId) this.#rotations.delete(pair);
  }

  /** A part of the rotation of that pair, or by itself. */
  device({ saeId, peerSaeId, persona, call, keyId, durationMs, error }: KeysDeviceMessage): void {
    const attributes = {
      'hawser.sae.id': saeId,
      'hawser.sae.peer': peerSaeId,
      'hawser.persona': persona,
      'hawser.key.id': keyId,
    };
    const parent = this.#rotations.get(pairOf(saeId, peerSaeId))?.span;
    this.#maker.over({ name: `hawser.keys.device ${call}`, attributes, durationMs, error }, parent);
  }

  /** Nobody hears how those that are under way end. */
  end(): void {
    for (const pair of Array.from(this.#rotations.keys())) this.#abandon(pair);
  }

  #rotationOf(pair: string, { saeId, peerSaeId, sessionId, role, epoch }: KeysTransitionMessage): Rotation {
    const known = this.#rotations.get(pair);
    if (known?.sessionId === sessionId) return known;
    // Another session of the pair has taken its place.
    this.#abandon(pair);
    const attributes = {
      'hawser.sae.id': saeId,
      'hawser.sae.peer': peerSaeId,
      'hawser.session.id': sessionId,
      'hawser.role': role,
      'hawser.epoch': epoch,
    };
    const span = this.#maker.begin({ name: 'hawser.keys.rotation', attributes }, Date.now());
    const rotation = { sessionId, span };
    const [oldest] = this.#rotations.keys();
    if (oldest !== undefined && this.#rotations.size >= maxRotations) this.#abandon(oldest);
    this.#rotations.set(pair, rotation);
    return rotation;
  }

  #abandon(pair: string): void {
    const rotation = this.#rotations.get(pair);
    if (rotation === undefined) return;
    this.#rotations.delete(pair);
    rotation.span.setAttribute('hawser.outcome', 'unknown');
    this.#maker.end(rotation.span, undefined);
  }
}

function pairOf(saeId: string, peerSaeId: string): string {
  return JSON.stringify([saeId, peerSaeId]);
}
