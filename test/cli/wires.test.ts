import { expect, test } from 'vitest';
import { UsageError } from '../../src/cli/errors.js';
import { countByWire } from '../../src/cli/status.js';
import { checkMessageBytes, connectFailure } from '../../src/cli/wires.js';
import { ConnectError, HawserError, netcodeStates } from '../../src/index.js';

test('each wire format has a longest message of its own', () => {
  checkMessageBytes(1158, 'hawser');
  checkMessageBytes(1200, 'netcode');
  expect(() => checkMessageBytes(1159, 'hawser')).toThrow(
    new UsageError('--size: at most 1158 bytes with --wire hawser; got 1159'),
  );
  expect(() => checkMessageBytes(1201, 'netcode')).toThrow(
    new UsageError('--size: at most 1200 bytes with --wire netcode; got 1201'),
  );
});

test('only a netcode client that got no answer is told where to look', () => {
  const netcodeState = netcodeStates.connectionRequestTimedOut;
  const silence = new ConnectError('timedOut', { netcodeState });
  expect(connectFailure(silence)).toMatch(/^no gateway of the token answered in time; .*"drops"/);
  for (const clear of [
    new ConnectError('timedOut'),
    new ConnectError('denied', { netcodeState: netcodeStates.connectionDenied }),
    new HawserError('ERR_HAWSER_CLOSED', 'closed'),
  ])
    expect(connectFailure(clear)).toBe(clear.message);
});

test('peers are counted by what they speak', () => {
  expect(countByWire([])).toEqual({ hawser: 0, netcode: 0 });
  const peers = (['netcode', 'hawser', 'netcode'] as const).map((wire) => ({ wire }));
  expect(countByWire(peers)).toEqual({ hawser: 1, netcode: 2 });
});
