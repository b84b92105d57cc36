import { expect, test } from 'vitest';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import { contextOf, deviceKey, peer } from './support.js';

const device = expect.objectContaining({ code: 'ERR_HAWSER_DEVICE' });

test('the recording persona keeps what is live and current, for each peer on its own', async () => {
  const persona = new RecordingPersona();
  await persona.preConfigure(deviceKey('one'), contextOf());
  await persona.rotate(deviceKey('one'), contextOf());
  await persona.preConfigure(deviceKey('two'), contextOf({ peerSaeId: 'SAE_C' }));
  expect(persona.device(peer)).toMatchObject({ live: new Set(['one']), current: 'one' });
  expect(persona.device('SAE_C')).toMatchObject({ live: new Set(['two']), current: null });
  expect(persona.violations).toEqual([]);
  expect(persona.calls.map(({ call, keyId, done }) => [call, keyId, done])).toEqual([
    ['preConfigure', 'one', true],
    ['rotate', 'one', true],
    ['preConfigure', 'two', true],
  ]);
});

test('the recording persona notices a rotation to a key that is not live, and the deletion of the current one', async () => {
  const persona = new RecordingPersona();
  await persona.rotate(deviceKey('one'), contextOf());
  await persona.deleteKey('one', contextOf());
  expect(persona.violations).toEqual([
    `rotate to one, which was not preconfigured, with ${peer}`,
    `delete of one, which is current, with ${peer}`,
  ]);
});

test('the recording persona notices two calls at a time, unless the time of the first is over', async () => {
  const persona = new RecordingPersona();
  const ending = new AbortController();
  persona.script = () => new Promise(() => undefined);
  void persona.preConfigure(deviceKey('one'), contextOf({ signal: ending.signal }));
  ending.abort();
  void persona.preConfigure(deviceKey('one'), contextOf());
  expect(persona.violations).toEqual([]);
  void persona.deleteKey('one', contextOf());
  expect(persona.violations).toEqual([`deleteKey before the last call for ${peer} had ended`]);
});

test('the recording persona fails as its script says, before or after it has done its work', async () => {
  const persona = new RecordingPersona();
  persona.script = () => ({ fail: 'before' });
  await expect(persona.preConfigure(deviceKey('one'), contextOf())).rejects.toEqual(device);
  expect([...persona.device(peer).live]).toEqual([]);
  persona.script = () => ({ fail: 'after' });
  await expect(persona.preConfigure(deviceKey('one'), contextOf())).rejects.toEqual(device);
  expect([...persona.device(peer).live]).toEqual(['one']);
});

test('the recording persona notices material that was wiped too early', async () => {
  const persona = new RecordingPersona();
  const key = deviceKey('one');
  key.material.wipe();
  await persona.preConfigure(key, contextOf());
  expect(persona.violations).toEqual(['the material of one is wiped already']);
});
