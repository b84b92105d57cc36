import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { type AdminServer, openAdmin } from '../../src/gateway/admin/admin-server.js';
import type { Gateway } from '../../src/gateway/gateway.js';
import type { RotationSnapshot, SyncOutcomeSnapshot } from '../../src/gateway/snapshot.js';
import { connect } from '../../src/index.js';
import { SessionClient, sessionConnector } from '../../src/sessions/index.js';
import { MemoryQueue, SyncClient, syncConnector } from '../../src/sync/index.js';
import { formatKey } from '../../src/token/server-key.js';
import { FakeGateway, fakeListener, KeptLog } from '../gateway/admin/fake-gateway.js';
import { madeUpSnapshot } from '../gateway/metrics/made-up-snapshot.js';
import { key, openTest, tokenFor } from '../gateway/support.js';
import { hasChromium, launch, openPage } from './browser.js';

const token = 'correct-horse-battery';
const hostile = '<img src=x onerror=alert(1)><script>alert(2)</script>';

describe.skipIf(!hasChromium)('the dashboard in a browser', () => {
  let browser: Browser;
  let context: BrowserContext;

  beforeAll(async () => {
    browser = await launch();
    context = await newContext();
  }, 240_000);
  afterAll(() => browser.close());

  async function newContext(): Promise<BrowserContext> {
    const made = await browser.newContext();
    // A page waits as long as its test does: a busy machine needs more than the usual 30 s.
    made.setDefaultTimeout(0);
    return made;
  }

  describe('of a gateway with peers, sessions and syncs', () => {
    let gateway: Gateway;
    /** All of these tests look at one page, in this order. */
    let page: Page;
    let wrong: string[];
    const ends: (() => Promise<unknown>)[] = [];

    beforeAll(async () => {
      gateway = await openTest({
        name: 'edge-7',
        keys: [formatKey(key)],
        admin: { address: '127.0.0.1:0' },
        drain: { deadlineMs: 60_000 },
        listeners: [
          { name: 'players', layers: ['messages'] },
          { name: 'agents', layers: ['sync'] },
          { name: 'clients', layers: ['sessions'] },
        ],
        handlers: { agentOf: () => hostile, identityOf: ({ clientId }) => `${hostile} ${clientId}` },
        sync: { store: 'memory' },
        sessions: { store: 'memory' },
      });
      for (let id = 1n; id <= 30n; ++id) {
        const connection = await connect(await tokenFor(gateway, 'players', { clientId: 500n + id }));
        connection.send(new Uint8Array(10));
        ends.push(() => connection.close());
      }
      const agent = new SyncClient({
        connector: syncConnector(await tokenFor(gateway, 'agents', { clientId: 7n })),
      });
      const module = agent.agent({ module: 'packages', queue: new MemoryQueue() });
      await agent.connect();
      await module.persistDifference('a', 'MODIFY', 'packages', Buffer.from('{}'));
      await module.synchronizeModule('DELTA');
      const client = new SessionClient({
        connector: sessionConnector(await tokenFor(gateway, 'clients', { clientId: 9n })),
      });
      await client.connect();
      ends.push(
        () => agent.close(),
        () => client.close(),
      );
      ({ page, wrong } = await openPage(context, gateway.urls.admin ?? ''));
    }, 240_000);
    afterEach(() => expect(wrong.splice(0)).toEqual([]));
    afterAll(async () => {
      await page.close();
      await Promise.all(ends.map((end) => end()));
      await gateway.close();
    });

    it('shows the numbers of the gateway, one section for each layer that is on, and asks nobody else for anything', async () => {
      await page.getByText('running', { exact: true }).waitFor();
      expect(await page.title()).toBe('edge-7 · hawser');
      await page.locator('[data-figure=Peers] .value', { hasText: /^32$/ }).waitFor();
      const losses = page.locator('[data-figure="Packets lost"]');
      expect(await losses.locator('.key').allTextContents()).toEqual(['all', 'spurious']);
      expect(await losses.locator('.value').allTextContents()).toEqual([
        expect.stringMatching(/ %$/),
        expect.stringMatching(/ %$/),
      ]);
      await page.getByText('1–25 of 32 peers').waitFor();
      await page.getByText('1–1 of 1 sessions').waitFor();
      const rows = page.locator('#listeners tbody tr');
      expect(await rows.locator('td:first-child').allTextContents()).toEqual([
        'players',
        'agents',
        'clients',
      ]);
      expect(await rows.first().textContent()).toContain('30 of 10,000');
      await expect.poll(() => page.locator('#sync-facts').textContent()).toMatch(/Succeeded1(?!\d)/);
      expect(await page.locator('#sessions').isVisible()).toBe(true);
      expect(await page.locator('#keys').isVisible()).toBe(false);
      await page.locator('#rtt-now', { hasText: /^median ≤/ }).waitFor();
    });

    it('keeps what others call themselves text', async () => {
      await page.locator('#sync-ended').getByText(hostile).waitFor();
      await page.locator('#sessions-table').getByText(`${hostile} 9`).waitFor();
      expect(await page.locator('main img, main script').count()).toBe(0);
    });

    it('searches, sorts and turns the pages of peers', async () => {
      const range = page.locator('#peers .range');
      await page.getByText('1–25 of 32 peers').waitFor();
      await page.locator('#peers').getByRole('button', { name: 'Next' }).click();
      await page.getByText('26–32 of 32 peers').waitFor();
      await page.getByRole('button', { name: 'Connected' }).click();
      await page.getByText('1–25 of 32 peers').waitFor();
      expect(await page.locator('#peers [aria-sort=ascending]').textContent()).toContain('Connected');
      await expect.poll(() => page.locator('#peers tbody button').first().textContent()).toBe('9');
      await page.getByLabel('Search').first().fill('529');
      await expect.poll(() => range.textContent()).toBe('1–1 of 1 peers');
      await expect.poll(() => page.locator('#peers tbody button').allTextContents()).toEqual(['529']);
      await page.getByLabel('Search').first().fill('no such client');
      await page.getByText('No peer is there.').waitFor();
      await page.getByLabel('Search').first().fill('');
      await page.getByRole('button', { name: 'Connected' }).click();
    });

    it('shows one peer in full, and says when it is gone', async () => {
      const leaving = await connect(await tokenFor(gateway, 'players', { clientId: 777n }));
      await page.getByText('1–25 of 33 peers').waitFor();
      await page.getByLabel('Search').first().fill('777');
      await page.getByRole('button', { name: '777' }).focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: 'Client 777' });
      await dialog.waitFor();
      const [peer] = gateway.peers({ search: '777' }).peers;
      await dialog.getByText(peer?.address ?? '', { exact: true }).waitFor();
      await leaving.close();
      await dialog.getByText('This peer is connected no more.').waitFor();
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      await page.getByLabel('Search').first().fill('');
    });

    it('fits 360 pixels, and 1920, without a bar at the bottom', async () => {
      await page.getByText('1–25 of 32 peers').waitFor();
      for (const width of [360, 768, 1280, 1920]) {
        await page.setViewportSize({ width, height: 800 });
        const overflow = (): Promise<unknown> =>
          page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
        // Pictures are drawn anew for their new width a moment later.
        await expect.poll(overflow, { message: `${width}` }).toBe(0);
        if (width < 1280) continue;
        // Nor has any table one, where there is room for all of it.
        const tables = (): Promise<unknown> =>
          page.evaluate(
            "Math.max(...Array.from(document.querySelectorAll('.scroll'), (each) => each.scrollWidth - each.clientWidth))",
          );
        await expect.poll(tables, { message: `${width}` }).toBe(0);
      }
    });

    it('reads the heat map to whoever moves through it with the keyboard', async () => {
      await page.locator('#rtt-now', { hasText: 'median' }).waitFor();
      await page.getByRole('img', { name: /^Heat map/ }).focus();
      await page.keyboard.press('ArrowUp');
      await page.getByText(/\d\d:\d\d:\d\d · 0–1 ms · .* peers?$/).waitFor();
    });

    it('drains when that is confirmed, and says so', async () => {
      await page.getByText('running', { exact: true }).waitFor();
      await page.getByRole('button', { name: 'Drain…' }).click();
      await page.getByRole('button', { name: 'Keep running' }).click();
      expect(gateway.state).toBe('RUNNING');
      await page.getByRole('button', { name: 'Drain…' }).click();
      await page.getByRole('button', { name: 'Drain and stop' }).click();
      await page
        .getByRole('alert')
        .getByText(/^Draining: no new peers/)
        .waitFor();
      expect(gateway.state).toBe('DRAINING');
    });
  });

  describe('of a gateway that needs a token', () => {
    let admin: AdminServer;
    /** Without the cookies of the others. */
    let own: BrowserContext;
    const gateway = new FakeGateway();

    beforeEach(async () => {
      admin = await openAdmin(gateway, { address: '127.0.0.1:0', token, log: new KeptLog() });
      own = await newContext();
    });
    afterEach(async () => {
      await own.close();
      await admin.close();
    });

    it('is behind a login that says what was wrong, and behind it again after a logout', async () => {
      const { page, wrong } = await openPage(own, admin.url);
      expect(page.url()).toBe(`${admin.url}/login`);
      await page.getByLabel('Admin token').fill('wrong-token-of-16');
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByText('That is not the token.').waitFor();
      await page.getByLabel('Admin token').fill(token);
      await page.keyboard.press('Enter');
      await page.getByText('running', { exact: true }).waitFor();
      expect(await page.evaluate('document.cookie')).toBe('');
      expect(wrong.splice(0)).toEqual([]);
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Admin token').waitFor();
      await page.goto(admin.url);
      expect(page.url()).toBe(`${admin.url}/login`);
      // The page that is left may have asked for its stream once more.
      expect(wrong.filter((each) => !each.includes('status of 401'))).toEqual([]);
    });

    it('leaves for the login when the token is changed', async () => {
      const { page } = await openPage(own, admin.url);
      await page.getByLabel('Admin token').fill(token);
      await page.keyboard.press('Enter');
      await page.getByText('running', { exact: true }).waitFor();
      admin.setToken('another-token-of-16');
      await page.getByLabel('Admin token').waitFor();
    });
  });

  describe('of a gateway that comes and goes', () => {
    it('says that the connection is lost, and goes on by itself when it is back', async () => {
      const gateway = new FakeGateway();
      const log = new KeptLog();
      const address = await freeAddress();
      const first = await openAdmin(gateway, { address, log });
      const { page } = await openPage(context, first.url);
      await page.getByText('running', { exact: true }).waitFor();
      await first.close();
      await page
        .getByRole('alert')
        .getByText(/^Connection lost\./)
        .waitFor();
      const second = await openAdmin(gateway, { address, log });
      await page.getByText('running', { exact: true }).waitFor();
      await page.getByRole('alert').waitFor({ state: 'hidden' });
      await page.close();
      await second.close();
    });
  });

  describe('of a gateway that is slow to answer', () => {
    it('asks for a page of peers again when it has the answer, and not before', async () => {
      const admin = await openAdmin(new FakeGateway(), { address: '127.0.0.1:0', log: new KeptLog() });
      const page = await context.newPage();
      try {
        await page.clock.install();
        // Counts the questions; and however long this process takes to let an answer through, the page does not give it up.
        await page.addInitScript(`
          AbortSignal.timeout = () => new AbortController().signal;
          const { fetch } = window;
          window.asked = 0;
          window.fetch = (...args) => {
            if (args[0].includes('/api/peers?')) window.asked += 1;
            return fetch(...args);
          };
        `);
        const asked = (): Promise<number> => page.evaluate('window.asked');
        let answer = (): void => undefined;
        const answered = new Promise<void>((resolve) => {
          answer = resolve;
        });
        await page.route('**/api/peers?**', async (route) => {
          await answered;
          await route.continue();
        });
        await page.goto(admin.url);
        await page.getByText('running', { exact: true }).waitFor();
        await expect.poll(asked).toBeGreaterThan(0);
        const before = await asked();
        await page.clock.runFor(60_000);
        expect(await asked()).toBe(before);
        answer();
        await expect
          .poll(async () => {
            await page.clock.runFor(1000);
            return asked();
          })
          .toBeGreaterThan(before);
      } finally {
        await page.close();
        await admin.close();
      }
    });
  });

  describe('of a gateway whose snapshots a test writes', () => {
    const gateway = new FakeGateway();
    let admin: AdminServer;
    let page: Page;
    let wrong: string[];

    beforeAll(async () => {
      admin = await openAdmin(gateway, { address: '127.0.0.1:0', log: new KeptLog() });
      ({ page, wrong } = await openPage(context, admin.url));
    });
    afterEach(() => expect(wrong.splice(0)).toEqual([]));
    afterAll(async () => {
      await page.close();
      await admin.close();
    });

    it('hides reasons that never happened, and puts the one that grows first', async () => {
      const drops = (replayed: number): void => {
        const listener = fakeListener();
        gateway.listeners = [fakeListener({ drops: { ...listener.drops, version: 90, replayed } })];
      };
      drops(1);
      const reasons = () => page.locator('#drops code').allTextContents();
      await expect.poll(reasons).toEqual(['version', 'replayed']);
      drops(500);
      await expect.poll(reasons).toEqual(['replayed', 'version']);
      await page.locator('#drops').getByText('Came before.').waitFor();
      await page.getByText('590 in all').waitFor();
    });

    it('shows what the layer interaction counts, and how it stands with each SAE that keys are shared with', async () => {
      const { interaction, keys } = madeUpSnapshot.layers;
      if (interaction === undefined || keys === undefined) throw new Error('a layer is missing');
      const ended = (endedAtMs: number, outcome: string, code: string | null): RotationSnapshot => ({
        peerSaeId: hostile,
        sessionId: code === 'timeout' ? null : '0192f1c4-8d3e-7a51',
        role: 'MASTER',
        outcome,
        code,
        endedAtMs,
      });
      const rotations = [ended(1, 'completed', null), ended(2, 'rolled_back', 'timeout')];
      gateway.layers = { interaction, keys: { ...keys, ended: rotations } };
      const facts = page.locator('#interaction-facts dd');
      await expect.poll(() => facts.allTextContents()).toEqual(['8', '900', '9', '4,500']);
      await page.getByText('this is sae-1').waitFor();
      const peers = page.locator('#keys-peers tbody tr');
      expect(await peers.locator('td:nth-child(-n+3)').allTextContents()).toEqual([
        'sae-2',
        'in use',
        'master',
        'sae-3',
        'closed: no key',
        'master',
      ]);
      const rows = page.locator('#keys-ended tbody tr');
      // The newest first, and what the other side is called is text.
      expect(await rows.locator('td:nth-child(n+2)').allTextContents()).toEqual([
        ...[hostile, 'master', '–', 'rolled back', 'timeout'],
        ...[hostile, 'master', '0192f1c4-8d3…', 'completed', ''],
      ]);
      gateway.layers = {};
      await page.locator('#keys').waitFor({ state: 'hidden' });
      expect(await page.locator('#interaction').isVisible()).toBe(false);
    });

    it('shows a sync that failed with its status', async () => {
      const outcome: SyncOutcomeSnapshot = {
        agent: 'meter',
        module: 'packages',
        mode: 'DELTA',
        applied: 0,
        rejected: 3,
        durationMs: 1234,
        status: 'Error',
        endedAtMs: 1,
      };
      const { sync } = madeUpSnapshot.layers;
      if (sync === undefined) throw new Error('no layer sync');
      gateway.layers = { sync: { ...sync, ended: [outcome] } };
      const row = page.locator('#sync-ended tbody tr');
      await row.waitFor();
      expect((await row.locator('td').allTextContents()).slice(1)).toEqual([
        'meter',
        'packages',
        'DELTA',
        '0',
        '3',
        '1.2 s',
        'Error',
      ]);
    });
  });
});
