// HAWSER's envelope of a message (docs/keys-wire.md). The signature covers all of it, who sends and who is to receive; the sender's id itself
// is in the message, which is why the message is parsed before the signature is looked at, and only then taken for one.

import { Buffer } from 'node:buffer';
import { HawserError } from '../../base/errors.js';
import { decodeMessage } from './decode-message.js';
import { encodeMessage } from './encode-message.js';
import type { Envelope, Opened, Refused, SealFacts, Stamps } from './envelope.js';
import { isId, isUuid } from './field-reader.js';
import { type ErrorCode, type Message, maySend, messageLimits, messageTypes, type Role } from './messages.js';
import { checkSaeId, type PinnedKeys } from './pinned-keys.js';
import { type SigningKey, signatureAlgorithms, type VerifyingKey } from './signatures.js';
import { JsonError, type JsonObject, type JsonValue, parseJson } from './strict-json.js';

const magic = Buffer.from('HSAE', 'latin1');
const version = 1;
/** Separates these signatures from all else that is signed with the same key. */
const label = Buffer.from('HAWSER keys 1\0', 'latin1');

/** Where the fields are, in bytes from the beginning. */
const at = {
  version: 4,
  algorithm: 5,
  type: 6,
  direction: 7,
  sequence: 8,
  sentAtMs: 16,
  echoSentAtMs: 24,
  echoReceivedAtMs: 32,
  payloadLength: 40,
  payload: 42,
} as const;

/** By the number of a direction, who sends. */
const directions: readonly Role[] = ['master', 'slave'];

const longestPrefix = label.length + 2 * (2 + messageLimits.idBytes);

/** The envelope of one SAE, for all of its peers with the wire `hawser`. */
export class HawserEnvelope implements Envelope {
  readonly #saeId: string;
  readonly #key: SigningKey;
  readonly #pinned: PinnedKeys;
  /** Where what is signed is put together. */
  readonly #signed = Buffer.alloc(longestPrefix + messageLimits.bytes);

  /** @throws HawserError ERR_HAWSER_ARGUMENT when the id is not 1 to 256 bytes of text. */
  constructor(saeId: string, key: SigningKey, pinned: PinnedKeys) {
    this.#saeId = checkSaeId('saeId', saeId);
    this.#key = key;
    this.#pinned = pinned;
  }

  /**
   * @returns the envelope, in memory of its own.
   * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG when it would be longer than 8192 bytes; ERR_HAWSER_ARGUMENT when this SAE and the
   * recipient are not the master and the slave of the message, in the roles of its type.
   */
  seal(message: Message, facts: SealFacts): Uint8Array {
    const sender = this.#roleIn(message, facts.recipientSaeId);
    const payload = encodeMessage(message, 'hawser');
    const length = at.payload + payload.length + this.#key.signatureBytes;
    if (length > messageLimits.bytes) throw tooLong(length);

    const start = this.#writePrefix(this.#saeId, facts.recipientSaeId);
    const envelope = this.#signed.subarray(start, start + at.payload + payload.length);
    magic.copy(envelope);
    envelope[at.version] = version;
    envelope[at.algorithm] = signatureAlgorithms.indexOf(this.#key.algorithm) + 1;
    envelope[at.type] = messageTypes.indexOf(message.message_type);
    envelope[at.direction] = directions.indexOf(sender);
    envelope.writeBigUInt64LE(facts.sequence, at.sequence);
    writeStamps(envelope, facts.stamps);
    envelope.writeUInt16LE(payload.length, at.payloadLength);
    envelope.set(payload, at.payload);

    const sealed = new Uint8Array(length);
    sealed.set(envelope);
    const signed = this.#signed.subarray(0, start + envelope.length);
    sealed.set(this.#key.sign(signed), envelope.length);
    return sealed;
  }

  open(bytes: Uint8Array): Opened | Refused {
    const envelope = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const fault = headerFault(envelope);
    if (fault !== undefined) return fault;
    const payloadEnd = at.payload + envelope.readUInt16LE(at.payloadLength);
    let payload: JsonValue;
    try {
      const { depth } = messageLimits;
      payload = parseJson(envelope.subarray(at.payload, payloadEnd), { bytes: messageLimits.bytes, depth });
    } catch (error) {
      if (error instanceof JsonError) return refused('bad_format', `the message: ${error.message}`);
      throw error;
    }
    if (!(payload instanceof Map)) return refused('bad_format', 'the message is no object');

    const role = directions[envelope[at.direction] ?? 0] ?? 'master';
    const senderSaeId = payload.get(role === 'master' ? 'master_sae_id' : 'slave_sae_id');
    const recipient = payload.get(role === 'master' ? 'slave_sae_id' : 'master_sae_id');
    if (!isId(senderSaeId) || !isId(recipient)) return refused('bad_format', 'an id of an SAE is none');
    if (senderSaeId === this.#saeId) return refused('replay', 'it is a message of this SAE itself');
    if (recipient !== this.#saeId) return refused('unknown_peer', 'it is for another SAE');
    const key = this.#pinned.get(senderSaeId);
    if (key === undefined) return refused('unknown_peer', 'no key of the sender is pinned');
    if (!this.#verify(envelope, payloadEnd, senderSaeId, key)) {
      return refused('bad_signature', "it is not signed with the sender's key");
    }
    return openPayload(envelope, payload, role, senderSaeId);
  }

  #roleIn(message: Message, recipientSaeId: string): Role {
    const role = message.master_sae_id === this.#saeId ? 'master' : 'slave';
    const [own, other] =
      role === 'master'
        ? [message.master_sae_id, message.slave_sae_id]
        : [message.slave_sae_id, message.master_sae_id];
    if (own === this.#saeId && other === recipientSaeId && maySend(role, message.message_type)) return role;
    throw new HawserError(
      'ERR_HAWSER_ARGUMENT',
      `a ${message.message_type} of this SAE to the recipient has other SAEs in the roles of master and slave`,
    );
  }

  /** What is signed before the envelope. @returns how many bytes it takes. */
  #writePrefix(senderSaeId: string, recipientSaeId: string): number {
    let end = label.copy(this.#signed);
    for (const id of [senderSaeId, recipientSaeId]) {
      const length = this.#signed.write(id, end + 2);
      this.#signed.writeUInt16LE(length, end);
      end += 2 + length;
    }
    return end;
  }

  #verify(envelope: Buffer, payloadEnd: number, senderSaeId: string, key: VerifyingKey): boolean {
    if (signatureAlgorithms[(envelope[at.algorithm] ?? 0) - 1] !== key.algorithm) return false;
    const start = this.#writePrefix(senderSaeId, this.#saeId);
    envelope.copy(this.#signed, start, 0, payloadEnd);
    return key.verify(this.#signed.subarray(0, start + payloadEnd), envelope.subarray(payloadEnd));
  }
}

/** What speaks against bytes before anything is known of who sent them. */
function headerFault(envelope: Buffer): Refused | undefined {
  if (envelope.length > messageLimits.bytes) {
    return refused('bad_format', `it has more than ${messageLimits.bytes} bytes`);
  }
  if (envelope.length <= at.version || magic.compare(envelope, 0, magic.length) !== 0) {
    return refused('bad_format', 'it does not begin as an envelope does');
  }
  if (envelope[at.version] !== version) {
    return refused('unsupported_version', `its version is ${envelope[at.version]}`);
  }
  if (envelope.length < at.payload) return refused('bad_format', 'it ends early');
  if (at.payload + envelope.readUInt16LE(at.payloadLength) > envelope.length) {
    return refused('bad_format', 'its message ends early');
  }
  const direction = envelope[at.direction] ?? 0;
  return direction < directions.length ? undefined : refused('bad_format', 'it has no direction');
}

/** What an envelope holds whose signature is good: from here on the sender is answerable, and may be answered. */
function openPayload(
  envelope: Buffer,
  payload: JsonObject,
  role: Role,
  senderSaeId: string,
): Opened | Refused {
  const facts = { senderSaeId, ...idsOf(payload) };
  const message = decodeMessage(payload, 'hawser');
  if ('fault' in message) return refused('bad_format', message.fault, facts);
  if (messageTypes[envelope[at.type] ?? 0] !== message.message_type) {
    return refused('bad_format', 'the type of the envelope is not that of the message', facts);
  }
  if (!maySend(role, message.message_type)) {
    return refused('bad_format', `a ${role} sends no ${message.message_type}`, facts);
  }
  const stamps = readStamps(envelope);
  if (stamps === undefined) return refused('bad_format', 'its times are none', facts);
  return { message, senderSaeId, sequence: envelope.readBigUInt64LE(at.sequence), stamps };
}

/** The ids by which an answer names what it refuses; none of an ERROR, which is never answered. */
function idsOf(payload: JsonObject): Pick<Refused, 'originalMessageId' | 'sessionId'> {
  if (payload.get('message_type') === 'error') return { originalMessageId: undefined, sessionId: undefined };
  const messageId = payload.get('message_id');
  const sessionId = payload.get('session_id');
  return {
    originalMessageId: isUuid(messageId) ? messageId : undefined,
    sessionId: isUuid(sessionId) ? sessionId : undefined,
  };
}

function writeStamps(envelope: Buffer, { sentAtMs, echo }: Stamps): void {
  writeTime(envelope, at.sentAtMs, sentAtMs);
  writeTime(envelope, at.echoSentAtMs, echo?.sentAtMs ?? 0);
  writeTime(envelope, at.echoReceivedAtMs, echo?.receivedAtMs ?? 0);
}

/** Undefined when a time is beyond 2^53 - 1, or when there is half an echo. */
function readStamps(envelope: Buffer): Stamps | undefined {
  const sentAtMs = readTime(envelope, at.sentAtMs);
  const echoSentAtMs = readTime(envelope, at.echoSentAtMs);
  const receivedAtMs = readTime(envelope, at.echoReceivedAtMs);
  if (sentAtMs === undefined || echoSentAtMs === undefined || receivedAtMs === undefined) return undefined;
  if (sentAtMs === 0 || (echoSentAtMs === 0) !== (receivedAtMs === 0)) return undefined;
  return { sentAtMs, echo: echoSentAtMs === 0 ? null : { sentAtMs: echoSentAtMs, receivedAtMs } };
}

function writeTime(envelope: Buffer, offset: number, ms: number): void {
  envelope.writeUInt32LE(ms >>> 0, offset);
  envelope.writeUInt32LE(Math.floor(ms / 2 ** 32), offset + 4);
}

function readTime(envelope: Buffer, offset: number): number | undefined {
  const ms = envelope.readUInt32LE(offset + 4) * 2 ** 32 + envelope.readUInt32LE(offset);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

function tooLong(length: number): HawserError {
  return new HawserError(
    'ERR_HAWSER_MESSAGE_TOO_LONG',
    `a sealed message has at most ${messageLimits.bytes} bytes; this one would have ${length}`,
  );
}

type Signed = Pick<Refused, 'senderSaeId' | 'originalMessageId' | 'sessionId'>;
const unsigned: Signed = { senderSaeId: undefined, originalMessageId: undefined, sessionId: undefined };

function refused(code: ErrorCode, reason: string, facts: Signed = unsigned): Refused {
  return { refused: code, reason, ...facts };
}
