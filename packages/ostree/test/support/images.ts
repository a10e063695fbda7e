import type { Checksum, Repo } from "../../src/index.ts";
import { commitFiles, type Files } from "./commit-files.ts";

/** A small image: version `n` changes a program, a default of /etc and the kernel, and has /var content. */
export function imageFiles(version: string, more: Files = {}): Files {
  return {
    "usr/bin/app": `app ${version}\n`,
    "usr/bin/same": "the same in all versions\n",
    "usr/bin/link": "-> app",
    "usr/lib/os-release": `ID=keelson\nVERSION=${version}\n`,
    "usr/lib/modules/6.1/vmlinuz": `kernel ${version}\n`,
    "usr/etc/app.conf": `version = ${version}\n`,
    "usr/etc/ssh/config": "port = 22\n",
    "var/lib/seed": `seed of ${version}\n`,
    ...more,
  };
}

/** Commits {@link imageFiles}; `ref` is moved when given. */
export async function commitImage(
  repo: Repo,
  version: string,
  options: { readonly ref?: string; readonly files?: Files; readonly sizes?: boolean } = {},
): Promise<Checksum> {
  return await commitFiles(repo, imageFiles(version, options.files), {
    timestamp: 1_000 + Number(version.replace(/\D/g, "") || 0),
    metadata: [["version", { type: "s", value: version }]],
    ...(options.ref !== undefined && { ref: options.ref }),
    ...(options.sizes !== undefined && { sizes: options.sizes }),
  });
}
