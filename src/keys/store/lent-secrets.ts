// Copies of material that are lent to callers, so that what is deleted meanwhile stays whole for them, and is wiped as soon as they are done.

import { type SecretBytes, secretFrom } from '../../base/secret-bytes.js';

/** The copies of one store. */
export class LentSecrets {
  readonly #lent = new Set<SecretBytes>();

  /** Calls `use` with a copy, and wipes the copy once that is done. */
  lendCopy<T>(material: SecretBytes, use: (material: SecretBytes) => T | Promise<T>): Promise<T> {
    return this.lend(secretFrom(material.bytes), use);
  }

  /** The same with a secret that nobody else has. */
  async lend<T>(secret: SecretBytes, use: (material: SecretBytes) => T | Promise<T>): Promise<T> {
    this.#lent.add(secret);
    try {
      return await use(secret);
    } finally {
      this.#lent.delete(secret);
      secret.wipe();
    }
  }

  /** Wipes all that are lent: who uses one still finds it wiped. */
  wipe(): void {
    for (const secret of this.#lent) secret.wipe();
    this.#lent.clear();
  }
}
