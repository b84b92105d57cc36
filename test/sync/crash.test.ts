// Agents and managers in processes of their own, with queue and store on the disk, killed at any moment: afterwards both sides are equal.
// HAWSER_SEED repeats one.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { Dice } from '../interaction/simulated-home.js';
import { onWholeLines } from './lines.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 200 : 12 }, (_, seed) => seed) : [Number(only)];
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
  #isKilled = false;

  /** @param ended told when it ends by itself. */
  constructor(name: string, options: object, heard: (line: Line) => void, ended?: (how: string) => void) {
    const path = fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));
    this.#process = spawn(process.execPath, [path, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#exit = once(this.#process, 'close').then(([code, signal]) => {
      if (!this.#isKilled) ended?.(`${name} ended by itself: ${code ?? signal}`);
    });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error('no standard output');
    onWholeLines(stdout, (line) => heard(JSON.parse(line)));
    children.add(this);
  }

  /** @returns once it is gone, and all that it said was heard. */
  async kill(): Promise<void> {
    this.#isKilled = true;
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
  #address = '';
  #manager: Child | undefined;
  #agent: Child | undefined;
  /** Steps that the agent has said to have made, and the one that it has begun. */
  #done = 0;
  #begun = 0;
  #told = false;
  #waiting: {
    readonly wanted: (line: Line) => boolean;
    readonly resolve: () => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  /** That a process has ended which nobody has killed. */
  #failure: Error | undefined;

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
    const met = this.#waiting.filter(({ wanted }) => wanted(line));
    this.#waiting = this.#waiting.filter((each) => !met.includes(each));
    for (const { resolve } of met) resolve();
  }

  #ended(how: string): void {
    this.#failure ??= new Error(`${how}, HAWSER_SEED=${this.#seed}\n${this.log.slice(-60).join('\n')}`);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }

  /** Once either side says something like that. */
  #until(wanted: (line: Line) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure);
      else this.#waiting.push({ wanted, resolve, reject });
    });
  }

  #child(who: 'agent' | 'manager', options: object): Child {
    const heard = (line: Line): void => this.#heard(who, line);
    return new Child(`crash-${who}`, options, heard, (how) => this.#ended(how));
  }

  async #startManager(): Promise<void> {
    const isThere = this.#until(({ address }) => address !== undefined);
    const options = { store: this.#store, address: this.#address, key };
    this.#manager = this.#child('manager', options);
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
    this.#agent = this.#child('agent', options);
  }

  async run(): Promise<void> {
    this.#address = await freeAddress();
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
  // Each with a timeout of its own, however busy the machine is.
  test.each(seeds)('HAWSER_SEED=%i', async (seed) => {
    const site = new Site(seed);
    await site.run();
    const { documents = 0, problems } = await site.compare();
    expect(problems, `HAWSER_SEED=${seed}\n${site.log.slice(-60).join('\n')}`).toEqual([]);
    expect(documents).toBeGreaterThan(0);
  });
});
