import { afterEach, expect, test, vi } from 'vitest';
import { hasPromClient, loadPromClient } from '../../src/base/prom-client.js';

afterEach(() => {
  vi.doUnmock('prom-client');
});

test('without the package prom-client there is an error that says what to install', async () => {
  vi.doMock('prom-client', () => {
    throw new Error('it is not there');
  });
  await expect(loadPromClient()).rejects.toMatchObject({
    code: 'ERR_HAWSER_PACKAGE_MISSING',
    message: expect.stringContaining('npm install prom-client'),
  });
});

test('with it there are registries', async () => {
  expect(hasPromClient()).toBe(true);
  const { Registry } = await loadPromClient();
  expect(await new Registry().metrics()).toBe('\n');
});
