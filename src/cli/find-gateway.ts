// Which of the gateways that run a command is for.

import { askGateway, type GatewayAnswers, type PlainRequest } from '../gateway/control/ask-gateway.js';
import { controlPathOf, runningGateways } from '../gateway/control/control-path.js';
import { CommandError } from './errors.js';

/** What stands for it in the help of commands. */
export const gatewayOperand = '[NAME|PATH]';

/** What the help of these commands says of it. */
export const gatewayDetails =
  'NAME is that of the gateway in its configuration ("gateway" by default), PATH that of its control socket. Without either it is the one that runs, of this user.';

/**
 * @param operand the name of a gateway, the path of its control socket (it has a slash, or a backslash), or '' for the only one that runs.
 * @returns the path of its control socket; of one that was named it is not looked at whether it runs.
 * @throws CommandError that says what to do when none runs, or several do.
 */
export async function findGateway(operand: string): Promise<string> {
  if (/[/\\]/.test(operand)) return operand;
  if (operand !== '') return controlPathOf(operand);
  const [first, ...others] = await runningGateways();
  if (first === undefined) {
    throw new CommandError(
      'no gateway of this user runs; start one with "hawser gateway", or name the control socket of one that has it elsewhere ("control" in its configuration)',
    );
  }
  if (others.length === 0) return first.path;
  const names = [first, ...others].map(({ name }) => name);
  throw new CommandError(`several gateways run: say which, one of ${names.join(', ')}`);
}

/** @throws CommandError when none runs there; HawserError as `askGateway` (rejects). */
export async function askRunning<R extends PlainRequest>(
  path: string,
  request: R,
  signal: AbortSignal,
): Promise<GatewayAnswers[R['command']]> {
  const answer = await askGateway(path, request, signal);
  if (answer === undefined) throw notRunning(path);
  return answer;
}

/** The error of a command for which there is no gateway. */
export function notRunning(path: string): CommandError {
  return new CommandError(
    `no gateway listens at ${path}: it does not run, it runs as another user, or its control socket is elsewhere ("control" in its configuration)`,
  );
}
