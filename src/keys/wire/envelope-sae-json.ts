// The envelope of the original code: one JSON object in one datagram. It says itself by which key it is signed, and the original believes it.
// Here the key has to be the pinned one. The recipient, the type and the sender beside the message are not covered by the signature: what is
// acted upon is what the signed message says of them, and the rest has to agree.

import { Buffer } from 'node:buffer';
import { HawserError } from '../../base/errors.js';
import { decodeMessage } from './decode-message.js';
import { encodeMessage } from './encode-message.js';
import type { Envelope, Opened, Refused, SealFacts } from './envelope.js';
import { isId, isUuid } from './field-reader.js';
import { type ErrorCode, type Message, type MessageType, maySend, messageLimits } from './messages.js';
import { checkSaeId, type PinnedKeys } from './pinned-keys.js';
import { compact, type SigningKey } from './signatures.js';
import { JsonError, type JsonObject, type JsonValue, parseJson } from './strict-json.js';

/** `type` of the original, which has a name for these only. */
const typeNames: Partial<Readonly<Record<MessageType, string>>> = {
  key_notification: 'NOTIFY',
  key_acknowledgment: 'NOTIFY-ACK',
  sync_confirmation: 'SYNC-CONFIRM',
  error: 'ERROR',
};

const pemStart = '-----BEGIN PUBLIC KEY-----';

/** The parts of an envelope, read but not believed. */
interface Parts {
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly senderSaeId: string;
  readonly publicKey: string;
}

/** The envelope of one SAE, for all of its peers with the wire `sae-json`. */
export class SaeJsonEnvelope implements Envelope {
  readonly #saeId: string;
  readonly #key: SigningKey;
  readonly #pinned: PinnedKeys;
  readonly #publicKeyPem: string;

  /** @throws HawserError ERR_HAWSER_ARGUMENT when the id is not 1 to 256 bytes of text, or the key not of RSA. */
  constructor(saeId: string, key: SigningKey, pinned: PinnedKeys) {
    if (key.algorithm !== 'rsa-pss-sha256') {
      throw new HawserError(
        'ERR_HAWSER_ARGUMENT',
        'an SAE signs with an RSA key on the wire sae-json; got one of Ed25519',
      );
    }
    this.#saeId = checkSaeId('saeId', saeId);
    this.#key = key;
    this.#pinned = pinned;
    this.#publicKeyPem = key.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  /**
   * @returns the datagram.
   * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG when it would be longer than 8192 bytes, which the original does not receive.
   */
  seal(message: Message, _facts: SealFacts): Uint8Array {
    const payload = encodeMessage(message, 'sae-json');
    const envelope = {
      payload: Buffer.from(payload).toString('base64'),
      signature: Buffer.from(this.#key.signAsOriginal(payload)).toString('base64'),
      sender_sae_id: this.#saeId,
      public_key: this.#publicKeyPem,
      type: typeNames[message.message_type] ?? 'UNKNOWN',
    };
    const sealed = Buffer.from(JSON.stringify(envelope));
    if (sealed.length <= messageLimits.bytes) return sealed;
    throw new HawserError(
      'ERR_HAWSER_MESSAGE_TOO_LONG',
      `a sealed message has at most ${messageLimits.bytes} bytes; this one would have ${sealed.length}`,
    );
  }

  open(bytes: Uint8Array): Opened | Refused {
    const parts = readParts(bytes);
    if ('refused' in parts) return parts;
    const { payload, signature, senderSaeId } = parts;
    if (senderSaeId === this.#saeId) return refused('replay', 'it is a message of this SAE itself');
    const key = this.#pinned.get(senderSaeId);
    if (key === undefined) return refused('unknown_peer', 'no key of the sender is pinned');
    // What we sign would be the peer's too, and an ERROR of ours could be sent back to us as one of the peer.
    if (key.compactPem === compact(this.#publicKeyPem)) return refused('bad_signature', 'the key is our own');
    if (compact(parts.publicKey) !== key.compactPem) {
      return refused('bad_signature', 'it brings another key than the pinned one');
    }
    if (!key.verifyAsOriginal(payload, signature)) {
      return refused('bad_signature', "it is not signed with the sender's key");
    }
    return this.#openPayload(payload, senderSaeId);
  }

  /** What an envelope holds whose signature is good. */
  #openPayload(payload: Buffer, senderSaeId: string): Opened | Refused {
    const members = parse(payload, 'the message');
    if ('refused' in members) return { ...members, senderSaeId };
    const message = decodeMessage(members, 'sae-json');
    const facts = { ...idsOf(members), senderSaeId };
    if ('fault' in message) return { ...refused('bad_format', message.fault), ...facts };
    const { master_sae_id, slave_sae_id } = message;
    const role = master_sae_id === senderSaeId ? 'master' : 'slave';
    if ((role === 'master' ? slave_sae_id : master_sae_id) !== this.#saeId) {
      return refused('unknown_peer', 'it is for another SAE');
    }
    if (slave_sae_id !== senderSaeId && master_sae_id !== senderSaeId) {
      return { ...refused('bad_format', 'its sender has no part in it'), ...facts };
    }
    if (!maySend(role, message.message_type)) {
      return { ...refused('bad_format', `a ${role} sends no ${message.message_type}`), ...facts };
    }
    return { message, senderSaeId, sequence: undefined, stamps: undefined };
  }
}

function readParts(bytes: Uint8Array): Parts | Refused {
  const members = parse(bytes, 'the envelope');
  if ('refused' in members) return members;
  const payload = base64Of(members.get('payload'));
  const signature = base64Of(members.get('signature'));
  const senderSaeId = members.get('sender_sae_id');
  const publicKey = members.get('public_key');
  if (payload === undefined) return refused('bad_format', 'payload is no base64');
  if (signature === undefined) return refused('bad_format', 'signature is no base64');
  if (!isId(senderSaeId)) return refused('bad_format', 'sender_sae_id is none');
  if (typeof publicKey !== 'string' || !publicKey.startsWith(pemStart)) {
    return refused('bad_format', 'public_key is no PEM');
  }
  // What it says is in the signed message too: it is not looked at.
  if (typeof members.get('type') !== 'string') return refused('bad_format', 'type is no string');
  return { payload, signature, senderSaeId, publicKey };
}

function parse(bytes: Uint8Array, what: string): JsonObject | Refused {
  let value: JsonValue;
  try {
    value = parseJson(bytes, messageLimits);
  } catch (error) {
    if (error instanceof JsonError) return refused('bad_format', `${what}: ${error.message}`);
    throw error;
  }
  return value instanceof Map ? value : refused('bad_format', `${what} is no object`);
}

/** RFC 4648 section 4, with its padding and without any second form of the same bytes; undefined for what is none, or empty. */
function base64Of(text: unknown): Buffer | undefined {
  if (typeof text !== 'string' || text === '') return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** The ids by which an answer names what it refuses; none of an ERROR, which is never answered. */
function idsOf(payload: JsonObject): Pick<Refused, 'originalMessageId' | 'sessionId'> {
  if (payload.get('message_type') === 'error') return { originalMessageId: undefined, sessionId: undefined };
  const messageId = payload.get('message_id');
  const notification = payload.get('original_message_id') ?? messageId;
  return {
    originalMessageId: isUuid(messageId) ? messageId : undefined,
    sessionId: isUuid(notification) ? notification : undefined,
  };
}

function refused(code: ErrorCode, reason: string): Refused {
  return {
    refused: code,
    reason,
    senderSaeId: undefined,
    originalMessageId: undefined,
    sessionId: undefined,
  };
}
