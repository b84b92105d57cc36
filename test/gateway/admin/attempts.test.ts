import { describe, expect, it } from 'vitest';
import { Attempts } from '../../../src/gateway/admin/attempts.js';
import { LoginSessions } from '../../../src/gateway/admin/login-sessions.js';
import { ManualClock } from './manual-clock.js';

function exhaust(attempts: Attempts, remote: string): void {
  for (let i = 0; i < 10; ++i) attempts.count(remote);
}

describe('Attempts', () => {
  it('has a source wait and no other', () => {
    const attempts = new Attempts(new ManualClock());
    exhaust(attempts, '192.0.2.1');
    expect(attempts.waitSeconds('192.0.2.1')).toBe(5);
    expect(attempts.waitSeconds('192.0.2.2')).toBe(0);
  });

  it('takes 64 bits of IPv6 for one source, and mapped IPv4 for what it is', () => {
    const attempts = new Attempts(new ManualClock());
    exhaust(attempts, '2001:db8:1:2::5');
    expect(attempts.waitSeconds('2001:db8:1:2:ffff:1:2:3')).toBe(5);
    expect(attempts.waitSeconds('2001:db8:1:3::5')).toBe(0);
    exhaust(attempts, '::ffff:192.0.2.1');
    expect(attempts.waitSeconds('::ffff:192.0.2.2')).toBe(0);
    expect(attempts.waitSeconds('::ffff:192.0.2.1')).toBe(5);
  });

  it('keeps 1,024 sources, those of the last mistakes', () => {
    const attempts = new Attempts(new ManualClock());
    exhaust(attempts, '192.0.2.1');
    exhaust(attempts, '192.0.2.2');
    for (let i = 0; i < 1022; ++i) attempts.count(`10.0.${i >> 8}.${i & 255}`);
    expect(attempts.waitSeconds('192.0.2.1')).toBe(5);
    attempts.count('192.0.2.1');
    attempts.count('198.51.100.1');
    expect(attempts.waitSeconds('192.0.2.1')).toBe(5);
    expect(attempts.waitSeconds('192.0.2.2')).toBe(0);
  });
});

describe('LoginSessions', () => {
  it('keeps 256 logins, the newest', () => {
    const logins = new LoginSessions(new ManualClock());
    const ids = Array.from({ length: 257 }, () => logins.begin());
    expect(new Set(ids).size).toBe(257);
    expect(ids.map((id) => logins.has(id)).indexOf(true)).toBe(1);
    expect(logins.has(ids[256] ?? '')).toBe(true);
  });
});
