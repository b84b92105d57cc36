// In the place of the optional package.
declare module 'lmdb' {
  export type Database<V = unknown, K = unknown> = { readonly value: V; readonly key: K };
  export type RootDatabase<V = unknown, K = unknown> = Database<V, K>;
}
