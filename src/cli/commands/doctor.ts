import { type CheckResult, type CheckStatus, runChecks } from '../checks.js';
import { type Command, defineCommand } from '../command.js';
import { gatewayDriver, gatewayDriverOptions } from '../driver.js';
import { exitCodes } from '../errors.js';
import { flag } from '../options.js';
import { type Paint, painter } from '../terminal.js';

const colours = { ok: 'green', warn: 'yellow', fail: 'red' } as const satisfies Record<CheckStatus, string>;

export const doctor: Command = defineCommand({
  name: 'doctor',
  summary: 'looks whether this machine suits a gateway, and says what to change',
  details: ['Exit code 1 when something is missing without which a gateway cannot run.'],
  options: { ...gatewayDriverOptions, json: flag('print JSON') },
  run: async ({ json, ...driver }) => {
    const checks = await runChecks(gatewayDriver(driver));
    const failed = checks.some(({ status }) => status === 'fail');
    if (json) process.stdout.write(`${JSON.stringify({ ok: !failed, checks })}\n`);
    else process.stdout.write(`${lines(checks, painter(process.stdout)).join('\n')}\n`);
    return failed ? exitCodes.failure : exitCodes.ok;
  },
});

function lines(checks: readonly CheckResult[], paint: Paint): string[] {
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks.flatMap(({ name, status, found, advice }) => {
    const line = `${paint(colours[status], status.padEnd(4))}  ${name.padEnd(width)}  ${found}`;
    return advice === undefined ? [line] : [line, `${' '.repeat(width + 8)}${advice}`];
  });
}
