import { lookupMetadata } from "./decode.ts";
import { glibHashOrder } from "./glib-order.ts";
import type { Metadata, Variant } from "./variant.ts";

/** What upstream's `ostree commit` adds to a commit's metadata. */
export interface AutomaticMetadata {
  /** `ostree.ref-binding`: the refs the commit is made for; undefined for none of the bindings. */
  readonly refs?: readonly string[];
  /** `ostree.collection-binding`, with `refs` only. */
  readonly collectionId?: string;
  /** `ostree.linux` and `ostree.bootable`: the kernel's version. */
  readonly kernel?: string;
}

/**
 * Metadata as upstream's program writes it: the caller's in their order, bindings after them; with a kernel all of it in the
 * order of glib's hash table. Follows ot-builtin-commit.c and ostree-repo-os.c.
 */
export function commitMetadata(given: Metadata, { refs, collectionId, kernel }: AutomaticMetadata): Metadata {
  const all: [string, Variant][] = given.map(([key, value]) => [key, value]);
  if (refs !== undefined) {
    all.push(["ostree.ref-binding", { type: "as", value: refs.toSorted() }]);
    if (collectionId !== undefined && lookupMetadata(given, "ostree.collection-binding") === undefined) {
      all.push(["ostree.collection-binding", { type: "s", value: collectionId }]);
    }
  }
  if (kernel === undefined) return all;
  all.push(["ostree.bootable", { type: "b", value: true }], ["ostree.linux", { type: "s", value: kernel }]);
  // A later value of a key replaces an earlier one, as in a dictionary.
  const values = new Map(all);
  return glibHashOrder(all.map(([key]) => key)).map((key) => [key, values.get(key) as Variant]);
}
