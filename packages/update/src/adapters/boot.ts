import { readFile } from "node:fs/promises";
import type { BootControl, BootEntry, BootStatus } from "@keelson/boot";
import type { Sysroot } from "@keelson/ostree";
import type { BootFacts, Deployed } from "../core/agent/model.ts";
import { UpdatePortError } from "../errors.ts";
import type { BootPort } from "../ports.ts";

const UNKNOWN_VERSION = "unknown";

const kernelBootId = async () => (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();

/** `@keelson/boot` as the agent's boot port. Both are opened when first needed. */
export function bootPort(
  boot: () => Promise<BootControl>,
  sysroot: () => Promise<Sysroot>,
  bootId: () => Promise<string> = kernelBootId,
): BootPort {
  return {
    facts: async () => {
      const [status, id] = await Promise.all([boot().then((b) => b.state()), bootId()]);
      return bootFacts(status, id);
    },
    arm: async (id) => {
      const control = await boot();
      const status = await control.state();
      const deployment = (await sysroot()).deployments().find((d) => d.id === id);
      if (deployment === undefined) throw new UpdatePortError(`there is no deployment ${id}`);
      const armed = status.entries.find((entry) => entry.id === status.trial?.id);
      const isArmed = armed?.deployment === id && status.trial?.triesDone === 0 && !status.bootedIsTrial;
      if (!isArmed) await control.writeTrial(deployment);
    },
    markGood: async () => await (await boot()).markGood(),
    goBack: async (reason) => {
      const control = await boot();
      const { bootedIsTrial } = await control.state();
      // The record makes the reason readable even if this disk's /var is not.
      if (bootedIsTrial) await control.recordStage("gate", reason).catch(() => {});
      await control.rollback();
    },
    recordStage: async (stage, detail) => await (await boot()).recordStage(stage, detail),
  };
}

/** What the boot loader's state means for an agent. @throws UpdatePortError when this system has no boot entry */
export function bootFacts(status: BootStatus, bootId: string): BootFacts {
  const { bootedEntry, trial, rolledBack, bootedIsTrial } = status;
  if (bootedEntry === undefined) {
    throw new UpdatePortError("this system was not booted from an entry of the boot writer, so it cannot be updated");
  }
  const previous = previousOf(status, bootedEntry);
  const armed =
    trial !== undefined && !bootedIsTrial && trial.triesLeft > 0
      ? status.entries.find((entry) => entry.id === trial.id)
      : undefined;
  return {
    bootId,
    booted: deployed(bootedEntry),
    isTrial: bootedIsTrial,
    ...(previous === undefined ? {} : { previous: deployed(previous) }),
    ...(armed === undefined ? {} : { armed: targetOf(deployed(armed)) }),
    ...(rolledBack === undefined
      ? {}
      : { rolledBack: { ...targetOf(deployed(rolledBack)), reason: rolledBack.reason.text } }),
  };
}

/** What `rollback()` of the boot writer would boot: on trial the last good one, else the one before. */
function previousOf(status: BootStatus, booted: BootEntry): BootEntry | undefined {
  if (status.bootedIsTrial) return status.entries.find((entry) => entry.id === status.default);
  return status.entries.findLast((e) => e.number < booted.number && e.deployment !== booted.deployment);
}

function deployed(entry: { readonly deployment: string; readonly version?: string }): Deployed {
  const commit = entry.deployment.split(".", 1)[0] ?? "";
  return { version: entry.version ?? UNKNOWN_VERSION, commit, deployment: entry.deployment };
}

function targetOf({ version, commit }: Deployed): { version: string; commit: string } {
  return { version, commit };
}
