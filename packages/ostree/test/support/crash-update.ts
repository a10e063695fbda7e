import type { Clock } from "@keelson/types";
import type { Checksum, Deployment, Sysroot } from "../../src/index.ts";

/** For requests that need no second try. */
const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: () => ({ [Symbol.dispose]() {} }),
  every: () => ({ [Symbol.dispose]() {} }),
};

/** What an agent does for an update: garbage, pull, stage, finalize, garbage. May be repeated from its start after a crash. */
export async function update(sysroot: Sysroot, url: string, commit: Checksum): Promise<Deployment> {
  const booted = sysroot.booted()?.id as string;
  await sysroot.pull({ url, commit, allowUnsigned: true, keep: [booted, commit], clock });
  const before = sysroot.deployments().find(({ checksum, staged }) => checksum === commit && !staged);
  const next = before ?? (await sysroot.finalize(await sysroot.stage(commit, { origin: { refspec: "up:os/stable" } })));
  await sysroot.cleanup({ keep: [booted, next.id] });
  return next;
}
