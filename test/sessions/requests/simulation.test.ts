// Clients, gateways that are killed and lose their leases, and a store that loses, delays and repeats: requests count once. One seed is one
// run; HAWSER_SEED repeats it.

import { expect, test } from 'vitest';
import type {
  RequestContext,
  RequestOutcome,
  ServerRequestDraft,
} from '../../../src/sessions/server/handler.js';
import { Dice } from '../../interaction/simulated-home.js';
import type { Fault } from './faulty-store.js';
import { SimulatedClient } from './simulated-client.js';
import { type TestGateway, textOf } from './test-gateway.js';
import { World } from './world.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 400 : 40 }, (_, seed) => seed) : [Number(only)];
const steps = 120;
const names = ['first', 'second'] as const;

/** A handler that others were faster than nine times: its request is sent again. */
const isBeaten = /was written again each time/;

class Simulation {
  readonly dice: Dice;
  readonly world = new World();
  readonly gateways = new Map<string, TestGateway>();
  readonly clients: SimulatedClient[] = [];
  readonly pushed: { readonly to: string; readonly text: string }[] = [];
  #faulty = true;
  #runs = 0;

  constructor(seed: number) {
    this.dice = new Dice(seed);
  }

  async run(): Promise<void> {
    for (const name of names) await this.#start(name);
    for (let index = 0; index < 4; ++index) await this.#join(`session-${index}`, index === 3);
    for (let step = 0; step < steps; ++step) {
      await this.#step();
      await this.world.pass(this.dice.chance(0.1) ? this.dice.between(100, 2000) : this.dice.between(0, 30));
    }
    this.#faulty = false;
    await this.#settle();
  }

  // ---- What happens ----------------------------------------------------------------------------------------------------

  async #step(): Promise<void> {
    const client = this.dice.pick(this.clients);
    const roll = this.dice.between(1, 100);
    if (roll <= 50) client.begin();
    else if (roll <= 65) client.again();
    else if (roll <= 72) client.late();
    else if (roll <= 78) this.#reconnect(client);
    else if (roll <= 86) await this.#move(client, this.dice.pick(names));
    else if (roll <= 90) await this.#kill(this.dice.pick(names));
    else if (roll <= 94) this.#loseLease(this.dice.pick(names));
    else this.#push(this.dice.pick(names), client);
  }

  #reconnect({ attachment }: SimulatedClient): void {
    if (
      attachment === undefined ||
      attachment.gateway.sessions.get(attachment.session.id) !== attachment.session
    )
      return;
    attachment.gateway.disconnect(attachment.session);
    attachment.gateway.reconnect(attachment.session);
  }

  /** Continues the session at that gateway. */
  async #move(client: SimulatedClient, name: string): Promise<void> {
    const gateway = this.#gateway(name);
    client.moved(undefined);
    if (gateway.fences() === undefined) return;
    const claim = gateway.claim(client.id, client.session).then(
      (session) => client.moved({ gateway, session }),
      () => undefined,
    );
    await this.world.pass(50);
    await Promise.race([claim, this.world.pass(0)]);
  }

  async #kill(name: string): Promise<void> {
    const gateway = this.#gateway(name);
    gateway.kill();
    await this.#start(name);
    for (const client of this.clients) if (client.attachment?.gateway === gateway) client.moved(undefined);
  }

  /** For a while it may not write; then it has another lease, and claims its sessions anew. */
  #loseLease(name: string): void {
    const gateway = this.#gateway(name);
    gateway.mayWrite = false;
    this.world.time.clock.setTimeout(
      () => {
        void this.#renew(name, gateway);
      },
      this.dice.between(1, 1500),
    );
  }

  async #renew(name: string, gateway: TestGateway): Promise<void> {
    if (this.#gateway(name) !== gateway) return;
    await gateway.start();
    gateway.mayWrite = true;
    for (const session of Array.from(gateway.sessions.values())) {
      await gateway.reclaim(session).catch(() => gateway.drop(session));
    }
  }

  #push(name: string, client: SimulatedClient): void {
    const text = `push ${++this.#runs}`;
    this.#gateway(name)
      .executor.push(client.id, Buffer.from(text))
      .then(
        () => this.pushed.push({ to: client.id, text }),
        () => undefined,
      );
  }

  // ---- Who there is ----------------------------------------------------------------------------------------------------

  #gateway(name: string): TestGateway {
    const gateway = this.gateways.get(name);
    if (gateway === undefined) throw new Error(`there is no gateway ${name}`);
    return gateway;
  }

  async #start(name: string): Promise<void> {
    const gateway = await this.world.gateway({
      gateway: name,
      requestsAtOnce: this.dice.pick([1, 3]),
      maxServerRequestsInFlight: this.dice.pick([1, 3, 10]),
      onRequest: (context) => this.#handle(context),
    });
    gateway.store.fault = () => this.#fault();
    gateway.onSend = (session, message) => {
      this.clients.find(({ id }) => id === session.id)?.heard(gateway, session, message);
    };
    this.gateways.set(name, gateway);
  }

  async #join(id: string, atMostOnce: boolean): Promise<void> {
    const gateway = this.#gateway(this.dice.pick(names));
    this.#faulty = false;
    const session = await gateway.create(id, { delivery: atMostOnce ? 'at-most-once' : 'exactly-once' });
    this.#faulty = true;
    this.clients.push(new SimulatedClient({ gateway, session }, this.dice));
  }

  #fault(): Fault {
    if (!this.#faulty) return { type: 'none' };
    const roll = this.dice.between(1, 100);
    if (roll <= 6) return { type: 'requestLost' };
    if (roll <= 14) return { type: 'answerLost' };
    if (roll <= 20) return { type: 'late', delayMs: this.dice.magnitude(1, 5000) };
    return { type: this.dice.pick(['none', 'slowAnswer']), delayMs: this.dice.between(0, 20) };
  }

  /** Each call leaves a mark of its own where it commits, so that two commits of one request are seen. */
  async #handle({ sessionId, requestId, get }: RequestContext): Promise<RequestOutcome> {
    const run = `${sessionId}/${requestId}/${++this.#runs}`;
    const total = Number(textOf(await get('total'))) + 1;
    if (this.dice.chance(0.2)) await this.world.time.clock.sleep(this.dice.between(1, 50));
    const targets = [sessionId, ...(this.dice.chance(0.3) ? [this.dice.pick(this.clients).id] : [])];
    const serverRequests: ServerRequestDraft[] = targets.map((target, index) => ({
      sessionId: target,
      payload: Buffer.from(`${run} #${index}`),
    }));
    const writes = new Map([
      ['total', Buffer.from(`${total}`)],
      [`run/${run}`, Buffer.from(targets.join(' '))],
    ]);
    const bytes = Buffer.from(run);
    return this.dice.chance(0.05)
      ? { error: bytes, writes, serverRequests }
      : { result: bytes, writes, serverRequests };
  }

  // ---- The end ---------------------------------------------------------------------------------------------------------

  async #settle(): Promise<void> {
    await this.world.pass(10_000);
    for (const client of this.clients) await this.#move(client, this.dice.pick(names));
    for (let round = 0; round < 60 && this.clients.some(({ pending }) => pending.size > 0); ++round) {
      for (const client of this.clients) client.again(true);
      await this.world.pass(1000);
    }
    await this.world.pass(60_000);
  }

  /** What is not as it must be. */
  async problems(): Promise<string[]> {
    const problems = this.clients.flatMap((client) =>
      client.problems.map((problem) => `${client.id}: ${problem}`),
    );
    const prefix = 'a/run/';
    const runs = (await this.world.keys(prefix)).map((key) => key.slice(prefix.length));
    const committed = new Set<string>();
    const sent = new Map<string, string[]>(this.clients.map(({ id }) => [id, []]));
    for (const run of runs) {
      const request = run.slice(0, run.lastIndexOf('/'));
      if (committed.has(request)) problems.push(`${request} was committed twice`);
      committed.add(request);
      const targets = (await this.world.value(`run/${run}`))?.split(' ') ?? [];
      for (const [index, target] of targets.entries()) sent.get(target)?.push(`${run} #${index}`);
    }
    const total = Number((await this.world.value('total')) ?? 0);
    if (total !== committed.size)
      problems.push(`${committed.size} requests were committed, ${total} counted`);
    for (const client of this.clients)
      problems.push(...this.#problemsOf(client, new Set(runs), sent.get(client.id) ?? []));
    for (const { errors } of this.world.gateways)
      problems.push(...errors.map(String).filter((text) => !isBeaten.test(text)));
    return problems;
  }

  #problemsOf(client: SimulatedClient, runs: ReadonlySet<string>, sent: readonly string[]): string[] {
    const problems: string[] = [];
    for (const [id, answer] of client.answers) {
      if (!runs.has(answer))
        problems.push(`${client.id}: ${id} was answered ${answer}, which was not committed`);
    }
    if (client.pending.size > 0) problems.push(`${client.id}: ${Array.from(client.pending)} have no answer`);
    const pushes = this.pushed.filter(({ to }) => to === client.id).map(({ text }) => text);
    for (const text of [...sent, ...pushes]) {
      const count = client.delivered.filter((each) => each === text).length;
      if (count !== 1) problems.push(`${client.id}: ${text} was delivered ${count} times`);
    }
    const known = new Set(sent);
    for (const text of client.delivered) {
      if (!text.startsWith('push') && !known.has(text))
        problems.push(`${client.id}: ${text} was never committed`);
    }
    return problems;
  }
}

test.each([0, 1, 2, 3])(
  'requests count once, whatever is lost, late, killed or fenced (part %i)',
  async (part) => {
    for (const seed of seeds.filter((each) => each % 4 === part)) {
      const simulation = new Simulation(seed);
      try {
        await simulation.run();
        expect(await simulation.problems()).toEqual([]);
        expect(await simulation.world.close()).toBe(0);
      } catch (error) {
        throw new Error(`HAWSER_SEED=${seed}: ${error}`, { cause: error });
      }
    }
  },
);
