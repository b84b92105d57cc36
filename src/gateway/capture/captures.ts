// The captures of one gateway: those with plaintext only while its configuration allows them.

import { HawserError } from '../../base/errors.js';
import type { Capture, CaptureOptions } from './capture.js';
import { checkCaptureOptions } from './capture-options.js';
import { type CaptureContext, type CapturedListener, openCapture } from './open-capture.js';

/** What may be captured. */
export interface CapturePlan {
  /** Whether packets without their seal may be. */
  readonly plaintext: boolean;
}

/**
 * Whoever reaches the control socket may capture datagrams, which anybody on the path can see. What peers say is for the one who writes the
 * configuration to give away.
 */
export class Captures {
  #plan: CapturePlan;
  /** Those with plaintext that go on. */
  readonly #revealing = new Set<Capture>();

  constructor(plan: CapturePlan) {
    this.#plan = plan;
  }

  get plan(): CapturePlan {
    return this.#plan;
  }

  /** What may be captured from now on: what may be no more ends. */
  allow(plan: CapturePlan): void {
    this.#plan = plan;
    if (plan.plaintext) return;
    for (const capture of [...this.#revealing]) capture[Symbol.dispose]();
  }

  /** @throws HawserError ERR_HAWSER_CAPTURE_REFUSED for plaintext that is not allowed; as `openCapture`. */
  open(listeners: readonly CapturedListener[], options: CaptureOptions, context: CaptureContext): Capture {
    if (!checkCaptureOptions(options).plaintext) return openCapture(listeners, options, context);
    if (!this.#plan.plaintext) {
      throw new HawserError(
        'ERR_HAWSER_CAPTURE_REFUSED',
        'this gateway gives no plaintext to captures: its configuration must have capture: { plaintext: true }, which a reload takes up, or its command --capture-plaintext',
      );
    }
    const ended = (): void => void this.#revealing.delete(capture);
    const capture = openCapture(listeners, options, { ...context, ended });
    this.#revealing.add(capture);
    return capture;
  }
}
