import { join } from "node:path";
import { type Checksum, type Deployment, openRepo, pullLocal, type Sysroot } from "../../src/index.ts";

/** What an agent does for an update: garbage, pull, stage, finalize, garbage. May be repeated from its start after a crash. */
export async function update(sysroot: Sysroot, commit: Checksum): Promise<Deployment> {
  const booted = sysroot.booted()?.id as string;
  await sysroot.cleanup({ keep: [booted, commit] });
  await using source = await openRepo(join(sysroot.root, "source"));
  await pullLocal(sysroot.repo, source, { commits: [commit] });
  const before = sysroot.deployments().find(({ checksum, staged }) => checksum === commit && !staged);
  const next = before ?? (await sysroot.finalize(await sysroot.stage(commit, { origin: { refspec: "up:os/stable" } })));
  await sysroot.cleanup({ keep: [booted, next.id] });
  return next;
}
