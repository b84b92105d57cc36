// Exits with 0 when the gateway in this container answers that it is alive. HAWSER_HEALTH_URL names another address.
const url = process.env.HAWSER_HEALTH_URL ?? 'http://127.0.0.1:4490/livez';
const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
process.exitCode = response?.ok ? 0 : 1;
