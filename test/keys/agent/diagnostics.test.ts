// What is told of the work of an SAE: all that happens, and nothing of a key.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { masterId, slaveId, World } from './world.js';

const names = ['hawser:keys.transition', 'hawser:keys.rejected', 'hawser:keys.device', 'hawser:keys.kme'];

/** All that may be seen of a value. */
function textOf(value: unknown): string {
  const json = JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}` : each));
  return `${json} ${inspect(value, { depth: 20, showHidden: true, maxArrayLength: null })}`;
}

it('no diagnostics, event, error or status has a key in it, in any notation', async () => {
  const told: string[] = [];
  const seen = new Set<string>();
  const hear = (message: unknown, name: string | symbol): void => {
    seen.add(String(name));
    told.push(textOf(message));
  };
  for (const name of names) subscribe(name, hear);
  const world = await World.open({ master: { failClosed: true } });
  const { master, slave, pool, time } = world;
  for (const { sae } of [master, slave]) {
    for (const event of [
      'state',
      'rotation',
      'rotationFailed',
      'rejected',
      'failure',
      'keyExpired',
    ] as const) {
      sae.on(event, (...args: unknown[]) => told.push(textOf(args)));
    }
  }
  await time.finish(master.sae.rotate(slaveId));
  await time.finish(master.sae.rotate(slaveId));
  // What goes wrong is told too.
  slave.persona.script = () => ({ fail: 'before' });
  await time.finish(master.sae.rotate(slaveId).catch((error: unknown) => told.push(textOf(error))));
  slave.persona.script = undefined;
  slave.sae.link(masterId, { delivers: false, send: () => true }).receive(Buffer.from('no envelope'));
  await time.pass(1000);
  for (const { sae } of [master, slave]) told.push(textOf(sae), textOf(sae.status()));
  for (const { memory } of [master, slave]) told.push(textOf(memory));
  const sent = world.sent.map(({ bytes }) => Buffer.from(bytes));
  await world.close();
  for (const name of names) unsubscribe(name, hear);
  expect([...seen].sort()).toEqual(['hawser:keys.device', 'hawser:keys.rejected', 'hawser:keys.transition']);
  expect(told.length).toBeGreaterThan(50);
  const all = told.join('\n');
  expect(pool.delivered.length).toBeGreaterThan(4);
  for (const { keyId, bytes } of pool.delivered) {
    expect(all).toContain(keyId);
    const forms = [bytes.toString('hex'), bytes.toString('base64').slice(0, 40), bytes.toString('latin1')];
    forms.push(Array.from(bytes.subarray(0, 8)).join(','), Array.from(bytes.subarray(0, 8)).join(', '));
    forms.push((bytes.toString('hex').slice(0, 32).match(/../g) ?? []).join(' '));
    for (const form of forms) expect(all.includes(form)).toBe(false);
    for (const message of sent) expect(message.includes(bytes)).toBe(false);
  }
});
