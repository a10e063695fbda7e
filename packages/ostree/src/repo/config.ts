/** A remote as in `[remote "name"]` of the repository's config. */
export interface RemoteConfig {
  readonly name: string;
  /** All keys of the section as written. */
  readonly options: ReadonlyMap<string, string>;
}

/** What we use of the repository's `config` file; other keys are kept when it is rewritten. */
export interface RepoConfig {
  readonly mode: "archive" | "bare";
  /** `[core] fsync`; default true. */
  readonly fsync: boolean;
  /** `[core] min-free-space-percent`, default 3 when neither is set; `min-free-space-size` wins. */
  readonly minFreeSpacePercent: number;
  /** `[core] min-free-space-size` in bytes. */
  readonly minFreeSpaceSize?: number;
  /** `[archive] zlib-level`; default 6. */
  readonly zlibLevel: number;
  /** `[core] collection-id`. */
  readonly collectionId?: string;
  /** `[core] parent`: absolute path of a repository to look for objects in too. Reading only. */
  readonly remotes: ReadonlyMap<string, RemoteConfig>;
}
