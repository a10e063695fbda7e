import { SystemdContainer, systemdContainerProblem } from "@keelson/linux";
import { SystemdUnitManager, type SystemdUnitManagerOptions } from "../src/manager.ts";

/** Why there is no systemd to test against here, printed once; undefined when there is. */
export const problem = systemdContainerProblem("/lib/systemd/systemd");
if (problem !== undefined) process.stderr.write(`skipping the tests against systemd: ${problem}\n`);

/** Another root file system than the host's to test against: `KEELSON_TEST_ROOTFS=out/image/rootfs`. */
const lowerdir = process.env["KEELSON_TEST_ROOTFS"] ?? "/";

/** Boots the host's own systemd, or that of another root, with as little as it can do. */
export async function bootMachine(): Promise<SystemdContainer> {
  const quiet = ["systemd.unit=basic.target", "fstab=no", "systemd.getty_auto=no", "systemd.mask=timers.target"];
  const machine = await SystemdContainer.start({ lowerdirs: [lowerdir], hostname: "systemd", arguments: quiet });
  await machine.waitBoot();
  await machine.exec(["mkdir", "-p", "/run/scratch"]);
  return machine;
}

/** What a manager on the host needs to reach the systemd of a container. */
export function managerOptions(machine: SystemdContainer): SystemdUnitManagerOptions {
  const root = `/proc/${machine.pid}/root`;
  return {
    busAddress: `unix:path=${root}/run/dbus/system_bus_socket`,
    root,
    journalctl: ["nsenter", "-t", String(machine.pid), "-m", "-p", "-u", "--", "journalctl"],
  };
}

export function openManager(machine: SystemdContainer): SystemdUnitManager {
  return new SystemdUnitManager(managerOptions(machine));
}
