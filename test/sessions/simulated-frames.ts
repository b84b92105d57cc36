// Which sessions the clients of simulated gateways are heard for, as the frames on their connections tell.

import type { MessageConnection } from '../../src/base/message-connection.js';
import { decodeClientMessage, decodeServerMessage } from '../../src/sessions/wire/codec.js';
import type { Process } from './simulated-process.js';
import type { FrameListener } from './simulated-roads.js';

/** What a gateway's connection is about. */
interface Attachment {
  sessionId: string | undefined;
  readonly continued: Map<bigint, string>;
  /** The newest timestamp. */
  newest: number;
}

export class HeardSessions implements FrameListener {
  readonly #heard: (gateway: Process, sessionId: string) => void;
  readonly #attachments = new WeakMap<MessageConnection, Attachment>();

  /** @param heard told when a KeepAlive has come, not one that came before, and when a client is told that it has its session. */
  constructor(heard: (gateway: Process, sessionId: string) => void) {
    this.#heard = heard;
  }

  arrived(gateway: Process, handle: MessageConnection, frame: Uint8Array): void {
    const message = decodeClientMessage(frame);
    const attachment = this.#attachmentOf(handle);
    if (message.type === 'ContinueSession') attachment.continued.set(message.nonce, message.sessionId);
    if (message.type !== 'KeepAlive' || message.timestamp <= attachment.newest) return;
    attachment.newest = message.timestamp;
    this.#tell(gateway, attachment);
  }

  sent(gateway: Process, handle: MessageConnection, frame: Uint8Array): void {
    const message = decodeServerMessage(frame);
    const attachment = this.#attachmentOf(handle);
    if (message.type === 'SessionCreated') attachment.sessionId = message.sessionId;
    else if (message.type === 'SessionContinued') {
      attachment.sessionId = attachment.continued.get(message.nonce);
    } else return;
    this.#tell(gateway, attachment);
  }

  #tell(gateway: Process, { sessionId }: Attachment): void {
    if (sessionId !== undefined) this.#heard(gateway, sessionId);
  }

  #attachmentOf(handle: MessageConnection): Attachment {
    const known = this.#attachments.get(handle);
    if (known !== undefined) return known;
    const attachment = { sessionId: undefined, continued: new Map(), newest: Number.NEGATIVE_INFINITY };
    this.#attachments.set(handle, attachment);
    return attachment;
  }
}
