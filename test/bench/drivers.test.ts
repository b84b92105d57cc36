import { describe, expect, it } from 'vitest';
import { type Driver, loadDriver, windowOf } from '../../bench/drivers/contract.mjs';
import { does } from '../../bench/drivers/does.mjs';
import { clientDriverOptions, driverOptions, driverText } from '../../bench/lib/hawser.mjs';
import { hello, messageBytes, TransferReceiver, TransferSender } from '../../bench/lib/transfer.mjs';
import { RivalUnavailable } from '../../bench/lib/unavailable.mjs';

const text = (data: Uint8Array): string => Buffer.from(data).toString();

/** Undefined where its package is not installed. */
async function loaded(name: string): Promise<Driver | undefined> {
  return loadDriver(name).catch((error: unknown) => {
    if (error instanceof RivalUnavailable) return undefined;
    throw error;
  });
}

describe('every driver', () => {
  const names = [
    'hawser',
    'hawser-reliable',
    'dgram',
    'dgram-crypto',
    'dgram-sodium',
    'udx-raw',
    'udx-stream',
    'node-datachannel',
    'node-datachannel-unreliable',
    'ws',
    'tcp',
    'quic',
  ] as const;

  it.each(names)('%s carries messages both ways', async (name) => {
    const driver = await loaded(name);
    if (driver === undefined) return;
    const listening = await driver.listen((data) => listening.send(Buffer.from(`echo of ${text(data)}`)));
    let answer: (data: string) => void = () => undefined;
    const answered = new Promise<string>((resolve) => {
      answer = resolve;
    });
    const connected = await driver.connect(
      listening.target,
      (data) => answer(text(data)),
      () => undefined,
    );
    connected.send(Buffer.from('a message'));
    expect(await answered).toBe('echo of a message');
    await connected.close();
    await listening.close();
  });

  const forPaths = ['hawser-reliable', 'udx-stream', 'node-datachannel', 'tcp', 'quic'] as const;

  it.each(forPaths)('%s sends from the listening side, and says when it has room again', async (name) => {
    const driver = await loaded(name);
    if (driver === undefined) return;
    const host = '127.0.0.1';
    const count = 256;
    let drains = 0;
    const sender = new TransferSender((message) => listening.send(message));
    const onDrain = (): void => {
      ++drains;
      sender.fill();
    };
    const listening = await driver.listen(() => sender.start(count * messageBytes), { host, onDrain });
    const receiver = new TransferReceiver();
    const received = receiver.bytes(count * messageBytes, 60_000);
    const onMessage = (data: Uint8Array): void => receiver.receive(data);
    const connected = await driver.connect(listening.target, onMessage, () => undefined, { host });
    connected.send(hello);
    expect(await received).toMatchObject({ bytes: count * messageBytes, misplaced: 0 });
    expect(drains).toBeGreaterThan(0);
    await connected.close();
    await listening.close();
  });

  it('says what it does', () => {
    for (const name of names) expect(does({ contender: name }).contender?.note).toMatch(/^[^.]+[^. ]$/);
  });
});

describe('the dgram driver', () => {
  it('sends back what came, and copies what may be written to again', async () => {
    const driver = await loadDriver('dgram');
    const listening = await driver.listen((data) => {
      listening.sendBack?.(data);
      const reused = Buffer.from('reused');
      listening.send(reused);
      reused.fill(0);
    });
    const answers: string[] = [];
    let done: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => {
      done = resolve;
    });
    const connected = await driver.connect(
      listening.target,
      (data) => {
        answers.push(text(data));
        if (answers.length === 2) done();
      },
      () => undefined,
    );
    connected.send(Buffer.from('a message'));
    await answered;
    expect(answers).toEqual(['a message', 'reused']);
    await connected.close();
    await listening.close();
  });
});

describe('datagrams of drivers that seal', () => {
  it.each(['dgram-crypto', 'dgram-sodium'])(
    '%s: they are refused when one bit of them differs',
    async (name) => {
      const driver = await loadDriver(name);
      const datagram = await driver.wrap?.(Buffer.from('a message'));
      if (datagram === undefined) throw new Error('it has no datagrams of its own');
      expect(text(datagram)).not.toContain('a message');
      const received: string[] = [];
      const { opener } = await import(`../../bench/drivers/${name}.mjs`);
      const open = opener(new Uint8Array(32).fill(1), (data: Uint8Array) => received.push(text(data)));
      open(datagram);
      expect(received).toEqual(['a message']);
      const forged = Uint8Array.from(datagram);
      forged[12] = (forged[12] ?? 0) ^ 1;
      expect(() => open(forged)).toThrow();
      expect(received).toHaveLength(1);
    },
  );
});

describe('a window', () => {
  it('counts the messages that share a datagram', async () => {
    const hawser = await loadDriver('hawser');
    expect(windowOf(hawser, 64)).toBe(1024 * 21);
    expect(windowOf(hawser, 1200)).toBe(1024);
    expect(windowOf(await loadDriver('dgram'), 64)).toBe(1024);
    expect(windowOf(await loadDriver('hawser-reliable'), 64)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('the options that say who does the input and output', () => {
  it('come from the environment, and are left out where nothing is set', () => {
    expect(driverOptions({})).toEqual({});
    expect(
      driverOptions({
        HAWSER_BENCH_DRIVER: 'threads',
        HAWSER_BENCH_THREADS: '2',
        HAWSER_BENCH_SPIN_MICROS: '0',
      }),
    ).toEqual({ driver: 'threads', threads: 2, spinMicros: 0 });
  });

  it('are told to people where any is set', () => {
    expect(driverText({})).toBe('');
    expect(driverText({ driver: 'threads', threads: 2, spinMicros: 0 })).toBe(
      'driver threads, threads 2, spin 0 µs',
    );
  });

  it('are the same for clients but for the number of threads', () => {
    const environment = { HAWSER_BENCH_DRIVER: 'threads', HAWSER_BENCH_THREADS: '2' };
    expect(clientDriverOptions(environment)).toEqual({ driver: 'threads' });
  });
});
