import { askGateway } from '../../gateway/control/ask-gateway.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import { askRunning, findGateway, gatewayDetails, gatewayOperand } from '../find-gateway.js';
import { flag, type Values } from '../options.js';
import { pause, watchSignals } from '../signals.js';

const options = { wait: flag('return when the gateway has ended') };

export const drain: Command = defineCommand({
  name: 'drain',
  summary: 'has a gateway that runs end: peers are asked to go elsewhere, and given time',
  details: [
    'It is not ready any more, hands its sessions over, lets nobody new in, and ends when all peers have left or the deadline of its configuration has passed. SIGTERM does the same.',
    gatewayDetails,
  ],
  options,
  operand: gatewayOperand,
  run,
});

const pollMs = 250;
/** Between the end of its control socket and that of its process. */
const exitGraceMs = 5000;

async function run({ wait }: Values<typeof options>, operand: string): Promise<number> {
  const interruption = watchSignals();
  try {
    const path = await findGateway(operand);
    const { pid, drainsUntilMs } = await askRunning(path, { command: 'drain' }, interruption.signal);
    const until =
      drainsUntilMs === null ? '' : `, until ${new Date(drainsUntilMs).toISOString()} at the latest`;
    process.stdout.write(`draining${until}\n`);
    if (!wait) return exitCodes.ok;
    if (!(await hasEnded(path, pid, interruption.signal))) return exitCodes.interrupted;
    process.stdout.write('stopped\n');
    return exitCodes.ok;
  } catch (error) {
    if (interruption.signal.aborted) return exitCodes.interrupted;
    throw error;
  } finally {
    interruption.dispose();
  }
}

/** @returns false when interrupted; the gateway goes on draining. */
async function hasEnded(path: string, pid: number, signal: AbortSignal): Promise<boolean> {
  while (await isServed(path, pid, signal)) if (!(await pause(pollMs, signal))) return false;
  const deadline = performance.now() + exitGraceMs;
  // What else its process does at the end; in another container its number may mean another process.
  while (isAlive(pid) && performance.now() < deadline) if (!(await pause(pollMs, signal))) return false;
  return true;
}

/** Whether this process still answers there: another one may have taken its place already. */
async function isServed(path: string, pid: number, signal: AbortSignal): Promise<boolean> {
  try {
    return (await askGateway(path, { command: 'snapshot' }, signal))?.pid === pid;
  } catch (error) {
    if (signal.aborted) throw error;
    // It ended while it was asked, or has too much to do to answer.
    return isAlive(pid);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
