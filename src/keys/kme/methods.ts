// The three methods of ETSI GS QKD 014 V1.1.1 and their paths (clause 5, table 2).

/** The last part of the path of each. */
export const kmeMethods = ['status', 'enc_keys', 'dec_keys'] as const;

/** One of `kmeMethods`. */
export type KmeMethod = (typeof kmeMethods)[number];

const base = ['api', 'v1', 'keys'] as const;

/** Ids of SAEs and keys, in bytes of UTF-8. The standard has no bound. */
export const maxIdBytes = 256;

/**
 * The path of a method.
 *
 * @param peerSaeId the slave for `status` and `enc_keys`, the master for `dec_keys`.
 */
export function pathOf(method: KmeMethod, peerSaeId: string): string {
  return `/${base.join('/')}/${encodeId(peerSaeId)}/${method}`;
}

/** An id of nothing but dots would be a step within the path. */
function encodeId(id: string): string {
  const encoded = encodeURIComponent(id);
  return /^\.+$/.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}

/** @param path as it was sent, without the query. @returns undefined when it is the path of no method. */
export function readPath(
  path: string,
): { readonly method: KmeMethod; readonly peerSaeId: string } | undefined {
  const [first, ...parts] = path.split('/');
  const [id = '', last] = parts.slice(base.length);
  const method = kmeMethods.find((each) => each === last);
  const known =
    first === '' && parts.length === base.length + 2 && base.every((part, at) => parts[at] === part);
  const peerSaeId = known ? decodeId(id) : undefined;
  return method === undefined || peerSaeId === undefined ? undefined : { method, peerSaeId };
}

function decodeId(encoded: string): string | undefined {
  try {
    const id = decodeURIComponent(encoded);
    return id !== '' && Buffer.byteLength(id) <= maxIdBytes ? id : undefined;
  } catch {
    return undefined;
  }
}
