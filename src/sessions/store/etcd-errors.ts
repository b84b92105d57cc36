// What the errors of etcd and of gRPC mean to users of a store.

import { HawserError } from '../../base/errors.js';

export type EtcdModule = typeof import('etcd3');

/** @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING. */
export async function loadEtcd(): Promise<EtcdModule> {
  try {
    return await import('etcd3');
  } catch (cause) {
    const message = 'stores on etcd need the package etcd3: npm install etcd3';
    throw new HawserError('ERR_HAWSER_PACKAGE_MISSING', message, { cause });
  }
}

/** Of a transaction, of the lease of one of its puts: nothing was done. */
export function isLeaseGone(etcd: EtcdModule, error: unknown): boolean {
  return causeOf(etcd, error) instanceof etcd.EtcdLeaseInvalidError;
}

/** Of a read at a revision that etcd does not keep any more. */
export function isCompacted(etcd: EtcdModule, error: unknown): boolean {
  return causeOf(etcd, error) instanceof etcd.GRPCOutOfRangeError;
}

function causeOf(etcd: EtcdModule, error: unknown): unknown {
  if (error instanceof HawserError) return error.cause;
  return error instanceof Error ? etcd.castGrpcError(error) : error;
}

/**
 * @returns the error of this package for one of etcd's: ERR_HAWSER_STORE where etcd has refused what was asked, ERR_HAWSER_STORE_FULL when it
 * has no room, ERR_HAWSER_STORE_UNAVAILABLE for all others.
 */
export function etcdError(etcd: EtcdModule, error: unknown): HawserError {
  if (error instanceof HawserError) return error;
  const cause = causeOf(etcd, error);
  const text = cause instanceof Error ? cause.message : String(cause);
  if (text.includes('database space exceeded')) {
    return new HawserError('ERR_HAWSER_STORE_FULL', 'etcd has no room left: see its --quota-backend-bytes', {
      cause,
    });
  }
  if (text.includes('request is too large') || text.includes('larger than max')) {
    const message = 'a transaction has more bytes than etcd takes: see its --max-request-bytes';
    return new HawserError('ERR_HAWSER_STORE', message, { cause });
  }
  if (text.includes('too many operations')) {
    const message = 'a transaction has more operations than etcd takes: see its --max-txn-ops';
    return new HawserError('ERR_HAWSER_STORE', message, { cause });
  }
  const wasRefused = refusalsOf(etcd).some((refusal) => cause instanceof refusal);
  if (wasRefused) return new HawserError('ERR_HAWSER_STORE', `etcd refused: ${text}`, { cause });
  return new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', `etcd did not answer: ${text}`, { cause });
}

/** Errors after which it is certain that nothing was done, and that trying again would change nothing. */
function refusalsOf(etcd: EtcdModule): readonly (abstract new (...args: never[]) => Error)[] {
  return [
    etcd.GRPCInvalidArgumentError,
    etcd.GRPCNotFoundError,
    etcd.GRPCFailedPreconditionError,
    etcd.GRPCOutOfRangeError,
    etcd.GRPCNotImplementedError,
    etcd.GRPCUnauthenticatedError,
    etcd.EtcdPermissionDeniedError,
    etcd.EtcdAuthenticationFailedError,
    etcd.EtcdLeaseInvalidError,
  ];
}
