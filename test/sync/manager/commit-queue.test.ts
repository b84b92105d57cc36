import { describe, expect, test } from 'vitest';
import { CommitQueue } from '../../../src/sync/manager/commit-queue.js';
import { settled } from '../../interaction/virtual-time.js';

/** Commits that end when a test says so. */
class Work {
  readonly log: string[] = [];
  readonly #running = new Map<string, (isOver: boolean) => void>();

  commit(name: string): () => Promise<boolean> {
    return () => {
      this.log.push(name);
      return new Promise((resolve) => {
        this.#running.set(name, resolve);
      });
    };
  }

  async end(name: string, isOver = true): Promise<void> {
    const resolve = this.#running.get(name);
    if (resolve === undefined) throw new Error(`${name} is not running`);
    this.#running.delete(name);
    resolve(isOver);
    await settled();
  }

  get running(): string[] {
    return [...this.#running.keys()];
  }
}

describe('sessions that are complete', () => {
  test('are applied one after the other where they are of the same module, in the order in which they were added', async () => {
    const [work, queue] = [new Work(), new CommitQueue(8)];
    for (const name of ['a1', 'a2', 'a3']) queue.add('a', 'a', work.commit(name));
    expect(work.running).toEqual(['a1']);
    await work.end('a1');
    expect(work.running).toEqual(['a2']);
    await work.end('a2');
    await work.end('a3');
    expect(work.log).toEqual(['a1', 'a2', 'a3']);
    expect(queue.running).toBe(0);
  });

  test('are applied side by side where they are of different modules, but no more than allowed', async () => {
    const [work, queue] = [new Work(), new CommitQueue(2)];
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key, key, work.commit(`${key}1`));
    expect(work.running).toEqual(['a1', 'b1']);
    expect(queue.running).toBe(2);
    await work.end('b1');
    expect(work.running).toEqual(['a1', 'c1']);
    await work.end('c1');
    await work.end('a1');
    await work.end('d1');
    expect(work.log).toEqual(['a1', 'b1', 'c1', 'd1']);
  });

  test('are applied one at a time where they are of the same agent, and others get their turns meanwhile', async () => {
    const [work, queue] = [new Work(), new CommitQueue(2)];
    for (const module of ['x', 'y', 'z']) queue.add('a', `a${module}`, work.commit(`a${module}`));
    queue.add('b', 'bx', work.commit('bx'));
    queue.add('c', 'cx', work.commit('cx'));
    expect(work.running).toEqual(['ax', 'bx']);
    await work.end('bx');
    expect(work.running).toEqual(['ax', 'cx']);
    await work.end('ax', false);
    expect(work.running).toEqual(['cx', 'ay']);
    await work.end('ay');
    queue.retry('ax');
    expect(work.running).toEqual(['cx', 'az']);
    await work.end('az');
    expect(work.running).toEqual(['cx', 'ax']);
    await work.end('ax');
    await work.end('cx');
    expect(queue.running).toBe(0);
  });

  test('of a module with many do not keep others from their turn', async () => {
    const [work, queue] = [new Work(), new CommitQueue(1)];
    for (const name of ['a1', 'a2', 'a3']) queue.add('a', 'a', work.commit(name));
    queue.add('b', 'b', work.commit('b1'));
    await work.end('a1');
    expect(work.running).toEqual(['b1']);
    await work.end('b1');
    expect(work.running).toEqual(['a2']);
  });

  test('wait behind one that failed, until that is tried again', async () => {
    const [work, queue] = [new Work(), new CommitQueue(1)];
    queue.add('a', 'a', work.commit('a1'));
    queue.add('a', 'a', work.commit('a2'));
    queue.add('b', 'b', work.commit('b1'));
    await work.end('a1', false);
    expect(work.running).toEqual(['b1']);
    await work.end('b1');
    expect(work.running).toEqual([]);
    queue.retry('b');
    queue.retry('a');
    queue.retry('a');
    await settled();
    expect(work.running).toEqual(['a1']);
    await work.end('a1');
    expect(work.running).toEqual(['a2']);
    await work.end('a2');
    expect(work.log).toEqual(['a1', 'b1', 'a1', 'a2']);
  });

  test('are tried again once, however often that is asked for', async () => {
    const [work, queue] = [new Work(), new CommitQueue(4)];
    queue.add('a', 'a', work.commit('a1'));
    queue.retry('a');
    await work.end('a1', false);
    for (let n = 0; n < 3; ++n) queue.retry('a');
    await settled();
    expect(work.log).toEqual(['a1', 'a1']);
    expect(queue.running).toBe(1);
  });

  test('are not begun any more once the queue is stopped, which waits for those that were', async () => {
    const [work, queue] = [new Work(), new CommitQueue(2)];
    for (const key of ['a', 'b', 'c']) queue.add(key, key, work.commit(`${key}1`));
    queue.add('a', 'a', work.commit('a2'));
    let stopped = false;
    const stopping = queue.stop().then(() => {
      stopped = true;
    });
    await work.end('a1');
    expect(stopped).toBe(false);
    await work.end('b1', false);
    await stopping;
    queue.retry('b');
    queue.add('d', 'd', work.commit('d1'));
    await settled();
    expect(work.log).toEqual(['a1', 'b1']);
    await new CommitQueue(1).stop();
  });
});
