// Agents and managers in processes of their own, with queue and store on the disk, killed at any moment: afterwards both sides are equal.
// HAWSER_SEED repeats one.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Dice } from '../interaction/simulated-home.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 200 : 12 }, (_, seed) => seed) : [Number(only)];
/** Each with a timeout of its own, however busy the machine is. */
const parts = [1, 2, 3, 4];
const stepsPerSeed = 12;
/** Where somebody is killed, besides `persisted`: the queue was told of a step that a FULL tells, too. */
const marks = [
  'begins',
  'done',
  'WaitingStartAck',
  'session',
  'DataTransfer',
  'progress',
  'WaitingEndAck',
  'sessionEnd',
];
const key = Buffer.alloc(32, 7).toString('hex');

interface Line {
  /** Where the process is. */
  readonly mark?: string;
  readonly address?: string;
  readonly begins?: number;
  readonly done?: number;
  readonly told?: number;
  readonly error?: string;
  readonly failed?: string;
  readonly documents?: number;
  readonly problems?: readonly string[];
}

/** A program of children/, which says what it does line by line. */
class Child {
  readonly #process: ChildProcess;
  readonly #exit: Promise<unknown>;

  constructor(name: string, options: object, heard: (line: Line) => void) {
    const path = fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));
    this.#process = spawn(process.execPath, [path, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#exit = once(this.#process, 'close');
    const { stdout } = this.#process;
    if (stdout === null) throw new Error('no standard output');
    createInterface(stdout).on('line', (line) => heard(JSON.parse(line)));
    children.add(this);
  }

  /** @returns once it is gone, and all that it said was heard. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.ended();
  }

  async ended(): Promise<void> {
    await this.#exit;
    children.delete(this);
  }
}

const children = new Set<Child>();
const folders: string[] = [];

afterAll(async () => {
  await Promise.all(Array.from(children, (child) => child.kill()));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An agent and its manager on one disk. */
class Site {
  readonly #seed: number;
  readonly #dice: Dice;
  readonly #store: string;
  readonly #queue: string;
  readonly #data: string;
  readonly #full: 'never' | 'meanwhile' | 'at the end';
  readonly log: string[] = [];
  #address = '127.0.0.1:0';
  #manager: Child | undefined;
  #agent: Child | undefined;
  /** Steps that the agent has said to have made, and the one that it has begun. */
  #done = 0;
  #begun = 0;
  #told = false;
  #waiting: { readonly wanted: (line: Line) => boolean; readonly resolve: () => void }[] = [];

  constructor(seed: number) {
    this.#seed = seed;
    this.#dice = new Dice(seed);
    this.#data = this.#dice.pick(['reliable', 'unreliable']);
    this.#full = this.#dice.pick(['never', 'never', 'meanwhile', 'meanwhile', 'at the end']);
    const folder = mkdtempSync(join(tmpdir(), 'hawser-crash-'));
    folders.push(folder);
    this.#store = join(folder, 'store');
    this.#queue = join(folder, 'queue');
  }

  #heard(who: string, line: Line): void {
    this.log.push(`${who} ${JSON.stringify(line)}`);
    if (line.begins !== undefined) this.#begun = line.begins + 1;
    if (line.done !== undefined) this.#done = line.done;
    if (line.told !== undefined) this.#told = true;
    if (line.address !== undefined) this.#address = line.address;
    const met = this.#waiting.filter(({ wanted }) => wanted(line));
    this.#waiting = this.#waiting.filter((each) => !met.includes(each));
    for (const { resolve } of met) resolve();
  }

  /** Once either side says something like that. */
  #until(wanted: (line: Line) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ wanted, resolve });
    });
  }

  async #startManager(): Promise<void> {
    const isThere = this.#until(({ address }) => address !== undefined);
    const options = { store: this.#store, address: this.#address, key };
    this.#manager = new Child('crash-manager', options, (line) => this.#heard('manager', line));
    await isThere;
  }

  #startAgent(): void {
    const options = {
      queue: this.#queue,
      address: this.#address,
      key,
      seed: this.#seed,
      done: this.#done,
      isRepeated: this.#begun > this.#done,
      steps: stepsPerSeed,
      data: this.#data,
      full: this.#full,
    };
    this.#agent = new Child('crash-agent', options, (line) => this.#heard('agent', line));
  }

  async run(): Promise<void> {
    await this.#startManager();
    this.#startAgent();
    for (let kills = this.#dice.between(1, deep ? 4 : 2); kills > 0 && !this.#told; --kills)
      await this.#killSomebody();
    if (!this.#told) await this.#until(({ told }) => told !== undefined);
    await this.#agent?.kill();
    await this.#manager?.kill();
  }

  /** At some moment of what it does. */
  async #killSomebody(): Promise<void> {
    const dice = this.#dice;
    // While the manager applies a FULL that tells what the queue was told since.
    const isDuringFull = this.#full === 'meanwhile' && dice.chance(0.7);
    const mark = isDuringFull ? 'persisted' : dice.pick(marks);
    await this.#until((line) => line.mark === mark || mark in line || line.told !== undefined);
    const delayMs = dice.chance(0.3) ? 0 : dice.magnitude(1, isDuringFull ? 50 : 100);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const who = isDuringFull ? 'agent' : dice.pick(['agent', 'manager', 'both']);
    this.log.push(`kill ${who} ${delayMs} ms after ${mark}`);
    const victims = [
      who === 'manager' ? undefined : this.#agent,
      who === 'agent' ? undefined : this.#manager,
    ];
    await Promise.all(victims.map((victim) => victim?.kill()));
    if (who !== 'agent') await this.#startManager();
    if (who !== 'manager') this.#startAgent();
  }

  /** What a process finds that had nothing to do with it. */
  async compare(): Promise<Line> {
    let found: Line = {};
    const options = { store: this.#store, queue: this.#queue, seed: this.#seed, done: stepsPerSeed };
    const child = new Child('crash-compare', options, (line) => {
      found = line;
    });
    await child.ended();
    return found;
  }
}

describe('whoever is killed at whatever moment, both sides are equal afterwards', () => {
  test.each(parts)('part %i of 4', async (part) => {
    for (const seed of seeds.filter((each) => each % parts.length === part - 1)) {
      const site = new Site(seed);
      await site.run();
      const { documents = 0, problems } = await site.compare();
      expect(problems, `HAWSER_SEED=${seed}\n${site.log.slice(-60).join('\n')}`).toEqual([]);
      expect(documents).toBeGreaterThan(0);
    }
  });
});
