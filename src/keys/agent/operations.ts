// Carries out what the protocol asks for that takes its time.

import { HawserError } from '../../base/errors.js';
import type { Operation, OperationResult } from '../protocol/steps.js';
import type { Role } from '../wire/messages.js';
import type { CallFor, CallOutcome, DeviceCalls } from './device-calls.js';
import { reasonOf } from './errors.js';
import type { KeyRequests } from './key-requests.js';

/** Who asks. */
export interface OperationContext {
  readonly role: Role;
  readonly sessionId: string | undefined;
}

export class Operations {
  readonly #requests: KeyRequests;
  readonly #device: DeviceCalls;
  /** Told of each call of a device that failed. */
  readonly #failed: (error: unknown) => void;

  constructor(requests: KeyRequests, device: DeviceCalls, failed: (error: unknown) => void) {
    this.#requests = requests;
    this.#device = device;
    this.#failed = failed;
  }

  /** Never rejects. */
  async run(operation: Operation, context: OperationContext): Promise<OperationResult> {
    try {
      return await this.#dispatch(operation, context);
    } catch (error) {
      // A key source that throws where it should reject, or a device that answers with what is no answer.
      this.#failed(error);
      const code =
        operation.type === 'requestKeys' || operation.type === 'fetchKeys'
          ? 'kme_unavailable'
          : 'device_failure';
      return { ok: false, code, reason: reasonOf(error), timedOut: false };
    }
  }

  async #dispatch(operation: Operation, context: OperationContext): Promise<OperationResult> {
    switch (operation.type) {
      case 'requestKeys':
        return this.#requests.request();
      case 'fetchKeys':
        return this.#requests.fetch(operation.keyIds, operation.untilMs);
      case 'preConfigure': {
        const call = { ...context, untilMs: operation.untilMs };
        return this.#resultOf(await this.#device.preConfigure(operation.keyId, call), operation.keyId);
      }
      case 'rotate': {
        const call = { ...context, untilMs: operation.untilMs };
        return this.#resultOf(await this.#device.rotate(operation.keyId, call), operation.keyId);
      }
      case 'deleteKeys':
        return this.#delete(operation.keyIds, { ...context, untilMs: operation.untilMs });
      case 'deviceStatus':
        return this.#status({ ...context, untilMs: operation.untilMs });
    }
  }

  /** One that cannot be deleted does not keep the others. */
  async #delete(keyIds: readonly string[], call: CallFor): Promise<OperationResult> {
    const failedKeyIds: string[] = [];
    for (const keyId of keyIds) {
      const outcome = await this.#device.deleteKey(keyId, call);
      if (outcome.ok) continue;
      failedKeyIds.push(keyId);
      this.#failed(outcome.error);
    }
    return { ok: true, failedKeyIds };
  }

  async #status(call: CallFor): Promise<OperationResult> {
    const outcome = await this.#device.status(call);
    if (!outcome.ok) return this.#resultOf(outcome, null);
    const { connected, service } = outcome.value;
    if (connected) return { ok: true, service: reasonOf(service) };
    const error = new HawserError('ERR_HAWSER_DEVICE', `the device is not connected: ${reasonOf(service)}`);
    return this.#resultOf({ ok: false, error, noKey: false, timedOut: false }, null);
  }

  #resultOf(outcome: CallOutcome<unknown>, keyId: string | null): OperationResult {
    if (outcome.ok) return { ok: true };
    const { error, noKey, timedOut } = outcome;
    this.#failed(error);
    const reason = reasonOf(error);
    if (noKey && keyId !== null) {
      return { ok: false, code: 'key_unavailable', reason, timedOut: false, keyIds: [keyId] };
    }
    return { ok: false, code: 'device_failure', reason, timedOut };
  }
}
