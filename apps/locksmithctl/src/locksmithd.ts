#!/usr/bin/env node
import { createLogger, SystemClock } from "@keelson/log";
import { formatErrorChain } from "@keelson/types";
import { connectEtcd, machineId } from "./connect.ts";
import { loadDaemonConfig } from "./daemon/config.ts";
import { CoordinatorFile } from "./daemon/coordinator-file.ts";
import { Daemon, makeCoordinator } from "./daemon/daemon.ts";
import { processIo } from "./process-io.ts";
import { loginTerminals, systemdReboot, systemState } from "./systemd.ts";
import { VERSION } from "./version.ts";

const OFF_MS = 10_000;

/** locksmithd: exit code 0 when it was told to end or has nothing to do, 1 when it cannot work. */
async function main(): Promise<number> {
  const io = processIo();
  if (["-version", "--version"].includes(process.argv[2] ?? "")) {
    io.out(`locksmithd version ${VERSION}\n`);
    return 0;
  }
  // Timers alone keep no process alive.
  const alive = setInterval(() => {}, 1 << 30);
  try {
    const config = loadDaemonConfig(io.env, (path) => io.readFile(path));
    const level = config.etcd.debug ? "debug" : "info";
    const logger = createLogger({
      component: "locksmithd",
      level,
      journaldPriority: io.env["JOURNAL_STREAM"] !== undefined,
    });
    const file = new CoordinatorFile(config.coordinatorFile, config.strategy);
    const machine = {
      id: config.machineId ?? machineId(io),
      name: io.hostname,
      systemState,
      loginTerminals,
      reboot: systemdReboot,
    };
    const clock = new SystemClock();
    using connection = await connectEtcd(config.etcd, io);
    const options = { config, connection, machine, file, clock, logger };
    if (config.strategy === "off") {
      // Upstream left a lock that was held when the strategy was turned off (bugs#1219).
      const late = AbortSignal.any([io.signal, AbortSignal.timeout(OFF_MS)]);
      await makeCoordinator(options)
        .release(late)
        .catch(() => {});
      await file.write("disabled");
      logger.info('Reboot strategy is "off" - locksmithd is exiting.');
      return 0;
    }
    await new Daemon(options).run(io.signal);
    return 0;
  } catch (error) {
    if (io.signal.aborted) return 0;
    io.err(`locksmithd: ${formatErrorChain(error)}\n`);
    return 1;
  } finally {
    clearInterval(alive);
  }
}

process.exitCode = await main();
