// The functions of the application that a manager calls. Whatever they do the manager goes on, and in doubt the answer is no.

import { describe } from '../../base/check.js';
import type { Clock } from '../../base/clock.js';
import { answerOf, isolate } from '../../base/isolate.js';
import { TokenBucket } from '../../base/token-bucket.js';
import type { Start } from '../wire/messages.js';
import type { Counts } from './events.js';
import type { ContextItem, ManagerSettings } from './options.js';

/** Failures that are told in a second: an agent can bring about as many as it sends items. */
const toldPerSecond = 20;

/** What calling the application needs of the manager. */
export interface HooksHost {
  readonly settings: ManagerSettings;
  readonly counts: Counts;
  readonly clock: Clock;
  /** Tells that a function has failed. */
  readonly failed: (agent: string, name: string, error: unknown) => void;
}

export class Hooks {
  readonly #host: HooksHost;
  readonly #told: TokenBucket;

  constructor(host: HooksHost) {
    this.#host = host;
    this.#told = new TokenBucket(toldPerSecond, toldPerSecond, host.clock.now());
  }

  /** Fails closed: a promise, which every async function returns, is no answer. */
  allowIndex(agent: string, index: string): boolean {
    const name = 'allowIndex';
    try {
      // The compiler is not what calls this: an application may be in JavaScript.
      const answer = answerOf<unknown>(this.#host.settings.allowIndex(agent, index));
      if (typeof answer === 'boolean') return answer;
      this.failed(agent, name, new TypeError(`it returned ${describe(answer)}, and neither true nor false`));
    } catch (error) {
      this.failed(agent, name, error);
    }
    return false;
  }

  onContext(agent: string, module: string, item: ContextItem): void {
    isolate(
      () => this.#host.settings.onContext(agent, module, item),
      (error) => this.failed(agent, 'onContext', error),
    );
  }

  /** @returns a promise of whether it was told, which never rejects; it may never settle. */
  async onMetadata(agent: string, start: Start): Promise<boolean> {
    try {
      await this.#host.settings.onMetadata(agent, start);
      return true;
    } catch (error) {
      this.failed(agent, 'onMetadata', error);
      return false;
    }
  }

  /** Counts a failure, and tells of it unless there are too many. */
  failed(agent: string, name: string, error: unknown): void {
    const { counts, clock, failed } = this.#host;
    ++counts.hookFailures;
    if (this.#told.take(1, clock.now())) failed(agent, name, error);
    else ++counts.suppressed;
  }
}
