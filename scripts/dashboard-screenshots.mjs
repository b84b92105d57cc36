// The pictures of docs/dashboard.md and the README, of a gateway at work: node scripts/dashboard-screenshots.mjs [seconds] [folder]
// Where pngquant is installed it makes them small: the repository keeps them.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { openLivelyGateway } from './lib/lively-gateway.mjs';
import { root } from './lib/process.mjs';

const [seconds = '300', folder = join(root, 'docs', 'images')] = process.argv.slice(2);
const pictures = [
  { name: 'light', colorScheme: 'light', width: 1280, height: 1000 },
  { name: 'dark', colorScheme: 'dark', width: 1280, height: 1000 },
  { name: 'layers', colorScheme: 'light', width: 1280, height: 1000, from: '#sync' },
  { name: 'narrow', colorScheme: 'light', width: 360, height: 780 },
];

mkdirSync(folder, { recursive: true });
const lively = await openLivelyGateway();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
});
try {
  await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1000));
  for (const { name, colorScheme, width, height, from } of pictures) {
    const page = await browser.newPage({ colorScheme, viewport: { width, height } });
    page.on('console', (message) => console.error(`${name}: ${message.text()}`));
    page.on('pageerror', (error) => console.error(`${name}: ${error.stack}`));
    await page.goto(lively.url);
    await page.getByText('median').waitFor();
    // Rates need a few seconds.
    await page.waitForTimeout(12_000);
    const path = join(folder, `dashboard-${name}.png`);
    if (from !== undefined) await page.locator(from).evaluate((element) => element.scrollIntoView());
    await page.screenshot({ path });
    spawnSync('pngquant', ['--force', '--ext', '.png', '--speed', '1', '64', path]);
    await page.close();
    console.log(path);
  }
} finally {
  await browser.close();
  await lively.close();
}
process.exit(0);
