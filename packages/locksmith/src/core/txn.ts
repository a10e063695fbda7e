/** A key as the store holds it. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 0n: bound to no lease. */
  readonly lease: bigint;
}

/** A key, or everything below a prefix. */
export type KeyRange = { readonly key: string } | { readonly prefix: string };

/** Holds when the key's creation, last change or lease is the given one; revision 0 and lease 0n: there is none. */
export type Condition =
  | { readonly key: string; readonly createRevision: number }
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly lease: bigint }
  /** No key below the prefix was created after the revision. */
  | { readonly prefix: string; readonly noneAfter: number };

/** With a lease the key ends with the lease. */
export type Write =
  | { readonly type: "put"; readonly key: string; readonly value: string; readonly lease?: bigint | undefined }
  | { readonly type: "delete"; readonly key: string };

/** Writes all or nothing, if all conditions hold. */
export interface Transaction {
  readonly conditions: readonly Condition[];
  readonly writes: readonly Write[];
}
