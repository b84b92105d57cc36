// What an operator can have a gateway do over HTTP.

import { HawserError } from '../../base/errors.js';
import type { Logger } from '../log/logger.js';
import type { ObservedGateway } from '../observed-gateway.js';
import { type Answer, json, RequestError } from './answer.js';

/** Begins to drain; the answer does not wait for the end. A gateway that drains already goes on. */
export function drain(gateway: ObservedGateway, log: Logger): Answer {
  log.info({}, 'drain, asked for over HTTP');
  // The gateway says in its log when it fails.
  gateway.drain().catch(() => undefined);
  return json(202, { state: gateway.state });
}

/**
 * Reads the configuration again.
 *
 * @returns what changed, as `ReloadReport` has it.
 * @throws RequestError (rejects) 422 for a configuration that is wrong, 409 for a gateway that is ending: nothing has changed then.
 */
export async function reload(gateway: ObservedGateway, log: Logger): Promise<Answer> {
  log.info({}, 'reload, asked for over HTTP');
  try {
    return json(200, await gateway.reload());
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_CONFIG') {
      throw new RequestError(422, error.message);
    }
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_CLOSED') {
      throw new RequestError(409, error.message);
    }
    throw error;
  }
}
