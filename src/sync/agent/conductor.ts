// The sessions of one sync, one after the other: until the manager has let one in and has gone through with it.

import type { Random } from '../../base/random.js';
import type { TokenBucket } from '../../base/token-bucket.js';
import { greatestGeneration } from '../queue/rows.js';
import type { AgentMetadata } from '../wire/messages.js';
import { AdmissionWait } from './admission-wait.js';
import type { AgentSettings } from './options.js';
import { failure, messageOf, type SessionOutcome } from './outcomes.js';
import { encodedStart, type Plan } from './plans.js';
import type { Log, SyncProgress, SyncWaiting } from './results.js';
import type { AgentRun } from './run.js';
import { AgentSession, type SessionSetup } from './session.js';
import type { AgentState } from './states.js';
import type { Waits } from './waits.js';

/** How often to ask for metadata that are not there. */
const metadataPollMs = 1000;

/** What a conductor works with, and who is told. */
export interface ConductorSetup {
  readonly settings: AgentSettings;
  readonly waits: Waits;
  readonly random: Random;
  readonly rate: TokenBucket | undefined;
  readonly log: Log;
  /** For lines that the manager can bring about without end. */
  readonly sessionLog: Log;
  readonly startSent: (nonce: bigint) => void;
  readonly stateChanged: (from: AgentState, to: AgentState) => void;
  readonly progress: (progress: SyncProgress) => void;
  readonly waiting: (waiting: SyncWaiting) => void;
}

export class Conductor {
  readonly #setup: ConductorSetup;

  constructor(setup: ConductorSetup) {
    this.#setup = setup;
  }

  /** One session, or several where the manager puts the agent off or has forgotten the session. */
  async conduct(run: AgentRun, plan: Plan): Promise<SessionOutcome> {
    const { settings } = this.#setup;
    run.begin(plan.size);
    const admission = this.#newAdmission();
    const metadata = await this.#metadata(run);
    if (metadata === undefined) return run.interrupted();
    if (plan.mode.startsWith('GROUP') && metadata.groups === undefined) {
      return failure('NoGroups', 'the metadata name no groups');
    }
    const start = encodedStart(settings.module, metadata, plan);
    if ('kind' in start) return start;
    const terms = {
      start: start.bytes,
      nonce: plan.nonce,
      size: plan.size,
      items: plan.items,
      checksum: plan.checksum,
      beforeData: plan.beforeData ?? (async () => undefined),
    };
    for (let lost = 0; ; ) {
      const outcome = await run.carryOut(new AgentSession(this.#sessionSetup(run, admission), terms));
      if (outcome.kind === 'postponed') {
        const delayMs = admission.delayMs(outcome.retryAfterMs, outcome.reason);
        if (delayMs === undefined) {
          return failure('Offline', 'the manager admits no session now', outcome.reason);
        }
        if (!(await run.sleep(delayMs))) return run.interrupted();
      } else if (outcome.kind === 'lost') {
        if (++lost > settings.retries) {
          return failure('SessionLost', 'the manager forgets the session', outcome.reason);
        }
      } else if (outcome.kind === 'stale' && outcome.generation > this.#greatestGeneration()) {
        const message =
          'the manager names a generation more than ten years ahead of the clock of this machine';
        return failure('Protocol', message);
      } else {
        if (outcome.kind === 'ok') run.told(outcome.rejected);
        return outcome;
      }
    }
  }

  #greatestGeneration(): bigint {
    return greatestGeneration(this.#setup.waits.wallNowMs);
  }

  #sessionSetup(run: AgentRun, admission: AdmissionWait): SessionSetup {
    const { sessionLog, startSent, progress, ...shared } = this.#setup;
    return {
      ...shared,
      connection: run.connection,
      admission,
      sent: run.sent,
      log: sessionLog,
      progress: (told) => progress(run.progressOf(told)),
      startSent: (nonce) => {
        run.startSent = true;
        startSent(nonce);
      },
    };
  }

  #newAdmission(): AdmissionWait {
    const { settings, waits, random, log, waiting } = this.#setup;
    return new AdmissionWait(
      settings.waitForAdmission ? settings.admissionTimeoutMs : 0,
      () => waits.nowMs,
      random,
      (told) => {
        log('info', 'Waiting', `the manager asks for a delay; ${Math.ceil(told.retryAfterMs)} ms`);
        waiting(told);
      },
    );
  }

  /** Waits until there are metadata. @returns undefined when the run was interrupted meanwhile. */
  async #metadata(run: AgentRun): Promise<AgentMetadata | undefined> {
    for (let isFirst = true; ; isFirst = false) {
      const asked = await run.settled(this.#setup.settings.metadata);
      if (asked === undefined) return undefined;
      if ('value' in asked && asked.value !== undefined) return asked.value;
      if (isFirst) {
        const why = 'error' in asked ? `: ${messageOf(asked.error)}` : '';
        this.#setup.log('error' in asked ? 'warning' : 'info', 'Metadata', `Start waits for metadata${why}`);
      }
      if (!(await run.sleep(metadataPollMs))) return undefined;
    }
  }
}
