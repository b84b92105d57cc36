// Chromium with the dashboard in it, and everything that must not happen there.

import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Without it these tests are skipped: scripts/setup.mjs installs it where that is possible. */
export const hasChromium: boolean = existsSync(executablePath);

export function launch(): Promise<Browser> {
  const quiet = [
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ];
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet];
  // Longer than usual: it is many processes, of which each may have to wait for the processor.
  return chromium.launch({ executablePath, args, timeout: 110_000 });
}

/** A page that keeps what would be wrong on any of them. */
export interface WatchedPage {
  readonly page: Page;
  /**
   * Messages of the console, errors, refusals by the policy, requests to anybody but the gateway. Not that a peer is gone, which the browser
   * says of each request for it, also of one that is answered after the page has heard of it.
   */
  readonly wrong: string[];
}

export async function openPage(context: BrowserContext, url: string): Promise<WatchedPage> {
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('console', (message) => {
    const isGonePeer =
      message.location().url.startsWith(`${url}/api/peer/`) && message.text().includes('status of 404');
    if (!isGonePeer) wrong.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== url) wrong.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  return { page, wrong };
}
