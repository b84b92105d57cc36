import { SessionClient } from '../../sessions/client/session-client.js';
import { sessionConnector } from '../../sessions/over-hawser.js';
import { wireOfToken } from '../../token/netcode-format.js';
import { checkToken, type TokenSource } from '../../transport/token-source.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes, UsageError } from '../errors.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
import { content, decimal, duration, flag, integer, optional, type Values, withDefault } from '../options.js';
import { SessionWatch } from '../session-watch.js';
import { pause, watchSignals } from '../signals.js';
import { randomClientId, tokenFactory, tokenOptions, wireOf } from '../tokens.js';

const { wire: _, ...connecting } = tokenOptions;

/** The most that a client takes. */
const mostAnswerTimeoutMs = 600_000;

const options = {
  token: optional(content('TOKEN|@FILE|-'), 'connect with this token'),
  ...connecting,
  timeout: withDefault(
    duration(1000, 3_600_000),
    '5s',
    'how long to wait for a gateway that does not answer; with --token only at Ctrl-C',
  ),
  rate: withDefault(decimal(0, 10_000), '1', 'requests per second; 0 for none'),
  size: withDefault(integer(0, 1_048_576), '64', 'bytes of each request'),
  seconds: optional(decimal(0.1, 1_000_000), 'how long (default: until Ctrl-C)'),
  atMostOnce: flag('send no request again: what is under way when the connection breaks has failed'),
  simulate: simulateOption,
  json: flag('print lines of JSON: events as they come, a status each second, the totals at the end'),
};

export const sessionsClient: Command = defineCommand({
  name: 'sessions client',
  summary: 'keeps a session with whichever gateway there is, and shows it',
  details: [
    'It sends requests to a gateway with sessions, and shows each change of its state and how long answers take: kill the gateway to see the session go on at another one.',
    'Ctrl-C closes the session. Exit code 1 when it was over before, or a request has failed.',
  ],
  options,
  run,
});

async function run(values: Values<typeof options>): Promise<number> {
  const tokens = await SessionTokens.of(values);
  if (values.simulate !== undefined && !values.json) {
    process.stdout.write(`${impairmentNotice(values.simulate)}\n`);
  }
  const connector = sessionConnector(
    tokens.source,
    values.simulate === undefined ? {} : { simulate: values.simulate.options },
    (connection) => watch.reached(connection.address),
  );
  const client: SessionClient = new SessionClient({
    connector,
    // A gateway that stands still for a moment has to get the message that closes the session, too.
    sessionAnswerTimeoutMs: Math.min(values.timeout, mostAnswerTimeoutMs),
    delivery: values.atMostOnce ? 'at-most-once' : 'exactly-once',
    onServerRequest: ({ requestId, payload }) => watch.serverRequest(requestId, payload.length),
  });
  const watch: SessionWatch = new SessionWatch(client, values.json);
  for (const event of ['connected', 'disconnected', 'attemptFailed'] as const) {
    client.on(event, () => tokens.renew());
  }
  const interruption = watchSignals(() => watch.end());
  const over = new AbortController();
  client.once('expired', () => over.abort());
  const signal = AbortSignal.any([interruption.signal, over.signal]);
  try {
    await connect(client, signal);
    const endRequests = watch.begin(values.rate, values.size);
    const endMs = values.seconds === undefined ? Number.POSITIVE_INFINITY : values.seconds * 1000;
    await pause(endMs, signal);
    endRequests();
    // That the connection ends now is no news.
    watch.end();
    await client.disconnect();
  } finally {
    await client.close();
    watch.end();
    interruption.dispose();
  }
  if (!watch.hasConnected) return exitCodes.interrupted;
  watch.printTotals();
  return over.signal.aborted || watch.failed > 0 ? exitCodes.failure : exitCodes.ok;
}

/** Resolves when there is a session, or the signal came first. */
async function connect(client: SessionClient, signal: AbortSignal): Promise<void> {
  try {
    await client.connect({ signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** The tokens of one client. */
class SessionTokens {
  #current: Uint8Array | string;
  readonly #next: () => Promise<Uint8Array | string>;

  /** @throws UsageError, CommandError (rejects). */
  static async of(values: Values<typeof options>): Promise<SessionTokens> {
    if (values.token === undefined) {
      const tokens = await tokenFactory({ ...values, wire: 'hawser' });
      const clientId = randomClientId();
      return new SessionTokens(await tokens(clientId), () => tokens(clientId));
    }
    if (values.key !== undefined || values.tokenUrl !== undefined || values.server.length > 0) {
      throw new UsageError('--token excludes --key, --server and --token-url');
    }
    // A file may hold the bytes of a token, or its text.
    const token = wireOfToken(values.token) === undefined ? values.token.toString().trim() : values.token;
    if (wireOf(token) === 'netcode') {
      throw new UsageError('--token: sessions need reliable channels, which netcode has not');
    }
    // Text that is no token is refused here: no attempt to connect could succeed with it.
    checkToken(token);
    return new SessionTokens(token, async () => token);
  }

  private constructor(first: Uint8Array | string, next: () => Promise<Uint8Array | string>) {
    this.#current = first;
    this.#next = next;
  }

  get source(): TokenSource {
    return () => this.#current;
  }

  /**
   * Asks for a new token. While the client is connected, because the source of tokens may be gone later. While it is not, because its token may
   * have expired, or belong to a key that the gateways no longer have. The client keeps its token when it gets no new one.
   */
  renew(): void {
    this.#next().then(
      (token) => {
        this.#current = token;
      },
      () => undefined,
    );
  }
}
