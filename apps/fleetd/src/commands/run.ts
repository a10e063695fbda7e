import { EtcdClient } from "@keelson/etcd-client";
import { EtcdFleetStore, FileAgentMemory, Fleetd, openManager, VERSION } from "@keelson/fleet";
import { createLogger, SystemClock } from "@keelson/log";
import type { Logger } from "@keelson/types";
import type { Config } from "../config.ts";
import { notify, passedSockets } from "../notify.ts";

/** A shutdown that takes longer is cut off. */
const SHUTDOWN_MAX_MS = 60_000;

/** `fleetd`: runs until SIGTERM or SIGINT and returns the exit code. */
export async function runFleetd(
  config: Config,
  env: Readonly<Record<string, string | undefined>>,
  reload: () => Config,
): Promise<number> {
  const root = createLogger({
    component: "fleetd",
    level: config.verbosity > 0 ? "debug" : "info",
    journaldPriority: env["JOURNAL_STREAM"] !== undefined,
  });
  const logger = config.name === "" ? root : root.child({ machine: config.name });
  for (const warning of config.warnings) logger.warn(warning);
  // The clock's timers do not keep a process alive; this does, until the end.
  const alive = setInterval(() => {}, 1 << 30);
  const ended = waitForEnd();
  const { etcd } = config;
  const client = new EtcdClient({
    endpoints: etcd.servers,
    requestTimeoutMs: etcd.requestTimeoutMs,
    logger,
    ...(etcd.tls === undefined ? {} : { tls: etcd.tls }),
    ...(etcd.credentials === undefined ? {} : { credentials: etcd.credentials }),
  });
  await using store = new EtcdFleetStore(client);
  const { manager, launchProof } = await openManager(config.manager, logger);
  await using _ = manager;
  const sockets = passedSockets(env);
  const fleetd = await Fleetd.start({
    store,
    manager,
    launchProof,
    memory: new FileAgentMemory(config.memoryPath),
    clock: new SystemClock(),
    logger,
    machine: config.machine,
    listen: sockets.length > 0 ? sockets : config.listen,
    ttlMs: config.ttlMs,
    keyPrefix: etcd.keyPrefix,
    hasEngine: config.hasEngine,
    tokenLimit: config.tokenLimit,
  });
  logger.info("fleetd ready", { version: VERSION, machineId: config.machine.id, listen: fleetd.urls });
  void explainSilence(config, manager, logger);
  await notify("READY=1", env);
  process.on("SIGUSR1", () => void process.stdout.write(`${JSON.stringify(dump(fleetd))}\n`));
  process.on("SIGHUP", () => void reconfigure(fleetd, reload, logger));
  const how = await Promise.race([ended, fleetd.failed.catch((error: unknown) => ({ error }))]);
  setTimeout(() => {
    logger.error(`shutdown took longer than ${SHUTDOWN_MAX_MS / 1_000} s`);
    process.exit(1);
  }, SHUTDOWN_MAX_MS).unref();
  if (typeof how === "object") logger.error("fleetd cannot go on", how);
  else logger.info("fleetd stops", { signal: how, units: config.drainOnStop ? "are stopped" : "run on" });
  await notify("STOPPING=1", env);
  await fleetd.stop({ drain: config.drainOnStop, graceMs: config.restartGraceMs });
  clearInterval(alive);
  return typeof how === "object" ? 1 : 0;
}

/** SIGHUP: what the settings say now of machine, ttl and engine. Bad settings change nothing. */
async function reconfigure(fleetd: Fleetd, reload: () => Config, logger: Logger): Promise<void> {
  try {
    const { machine, ttlMs, hasEngine } = reload();
    await fleetd.reconfigure({ machine, ttlMs, hasEngine });
    logger.info("fleetd has read its settings again", { metadata: machine.metadata });
  } catch (error) {
    logger.error("settings could not be read again; nothing has changed", { error });
  }
}

function waitForEnd(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

/** Says what to do when no unit manager answers. The agent goes on trying. */
async function explainSilence(config: Config, manager: { list(): Promise<unknown> }, logger: Logger): Promise<void> {
  try {
    await manager.list();
  } catch (error) {
    const { manager: choice } = config;
    const hint =
      choice.kind === "systemd"
        ? "is this machine's init systemd, and may this user talk to it? Without systemd use --unit-manager embedded"
        : `start one: fleetd unit-manager --directory DIRECTORY --socket ${choice.socketPath}`;
    logger.error(`no unit manager answers; ${hint}`, { error });
  }
}

function dump(fleetd: Fleetd): unknown {
  const { view, revision } = fleetd.registry;
  return {
    revision,
    isLeader: fleetd.engine.isLeader,
    problem: fleetd.agent.problem ?? null,
    machines: view.machines().map(({ record }) => record),
    units: view.units().map(({ name, hash, desired, target, why }) => ({ name, hash, desired, target, why })),
    states: view.allStates().map(({ name, state }) => ({ name, ...state })),
  };
}
