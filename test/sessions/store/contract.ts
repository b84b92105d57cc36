// What every store of sessions must do, as tests: to be run on each of them.

import { afterEach, beforeEach, describe, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import type { SessionStore } from '../../../src/sessions/store/store.js';
import { testArguments } from './contract-arguments.js';
import { testLeases } from './contract-leases.js';
import { testReopening, testSharing } from './contract-sharing.js';
import { testTransactions } from './contract-transactions.js';
import { testWatches } from './contract-watches.js';
import { randomTransaction, StoreModel } from './model.js';
import { everything, TestedStore } from './tested-store.js';

/**
 * Of random transactions, until a store that outlives its process is opened again. A store that talks to another process may also lose its
 * connection there when that stands still, and nobody knows then what was committed: one that is a few seconds old is not given up so soon.
 */
const transactionsPerOpening = 50;

/** A store under test. */
export interface StoreUnderTest {
  /** An empty one. */
  readonly open: () => Promise<SessionStore>;
  /** Another of what that one keeps, open at the same time: for stores that are shared. Closed by the tests. */
  readonly openAnother?: (store: SessionStore) => Promise<SessionStore>;
  /** What a new process would find, of a store that outlives its process: closed and opened again as it was. */
  readonly reopen?: (store: SessionStore) => Promise<SessionStore>;
  /** Called after each test, when the store is closed. */
  readonly cleanUp?: () => Promise<void>;
  /** Random transactions; 1,000 by default. */
  readonly randomTransactions?: number;
}

/** Runs the tests. @param name of the store. */
export function testSessionStore(name: string, under: StoreUnderTest): void {
  describe(`${name} keeps the contract of stores of sessions:`, () => {
    const tested = new TestedStore();
    beforeEach(async () => {
      tested.store = await under.open();
    });
    afterEach(async () => {
      await tested.close();
      await under.cleanUp?.();
    });

    testTransactions(tested);
    testWatches(tested);
    testLeases(tested);
    testArguments(tested);

    describe('random transactions', () => {
      const count = under.randomTransactions ?? 1000;
      const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));
      test(`${count} of them do to it what they do to a model (seed ${seed})`, async () => {
        const random = seededRandom(seed);
        const model = new StoreModel();
        for (let done = 0, opened = 0; done < count; ) {
          if (under.reopen !== undefined && done >= opened + transactionsPerOpening) {
            tested.store = await under.reopen(tested.store);
            opened = done;
          }
          const batch = Array.from({ length: 1 + Math.floor(random() * 5) }, () =>
            randomTransaction(random, model),
          );
          const results = await Promise.all(batch.map((transaction) => tested.store.txn(transaction)));
          model.expectTogether(batch, results, `seed ${seed}, transaction ${done}`);
          done += batch.length;
          if (random() < 0.1) model.expectAll(await tested.store.read(everything));
        }
        model.expectAll(await tested.store.read(everything));
      });
    });

    if (under.openAnother !== undefined) testSharing(tested, under.openAnother);
    if (under.reopen !== undefined) testReopening(tested, under.reopen);
  });
}
