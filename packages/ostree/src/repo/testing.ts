import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { CommitTreeOptions } from "./options.ts";

/** For tests of this package: writes files; `-> x` is a symlink, a path that ends with `/` a directory. */
export function writeFiles(root: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    if (name.endsWith("/")) mkdirSync(path, { recursive: true });
    else {
      mkdirSync(dirname(path), { recursive: true });
      if (typeof content === "string" && content.startsWith("-> ")) symlinkSync(content.slice(3), path);
      else writeFileSync(path, content);
    }
  }
  return root;
}

/** A commit's options with this process's owner, so that bare repositories need no root. */
export function mine(options: Partial<CommitTreeOptions> = {}): CommitTreeOptions {
  return {
    timestamp: 1_000,
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    ...options,
  };
}
