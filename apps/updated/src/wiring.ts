import { readFile, rm } from "node:fs/promises";
import type { BootControl } from "@keelson/boot";
import type { EtcdClient } from "@keelson/etcd-client";
import type { LockStore, RebootCoordinator } from "@keelson/locksmith";
import type { Sysroot } from "@keelson/ostree";
import type { Clock, Logger, Random } from "@keelson/types";
import {
  type BootPort,
  bootPort,
  type Check,
  directoryChecks,
  etcdCheck,
  etcdProbe,
  FileStateStore,
  fleetdCheck,
  HttpGraphClient,
  LocalHealthGate,
  LocksmithLock,
  locksmithBoard,
  NO_BOARD,
  ostreePorts,
  type RebootLock,
  SystemdRebooter,
  systemdCheck,
  type UpdateDeps,
} from "@keelson/update";
import type { Config } from "./config.ts";

/** The initramfs makes it when the booted entry is on trial. */
const TRIAL_MARK = "/run/keelson/trial";

/** Loads something once, when it is first needed. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => {
    loaded ??= load().catch((error: unknown) => {
      loaded = undefined;
      throw error;
    });
    return loaded;
  };
}

/** The world outside. */
export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** The real ports. OSTree is loaded for a pull, etcd's client for a lock: a machine at rest has neither in memory. */
export async function makeDeps(config: Config, outside: Surroundings): Promise<UpdateDeps & AsyncDisposable> {
  const { clock, logger } = outside;
  const stack = new AsyncDisposableStack();
  const sysroot = once<Sysroot>(async () => {
    const { openSysroot } = await import("@keelson/ostree");
    // Seen through another mount than the root, so it must be told what is booted.
    return await openSysroot(config.paths.sysroot, { cmdline: await readFile(config.paths.cmdline, "utf8") });
  });
  const control = once<BootControl>(async () => {
    const { openBoot } = await import("@keelson/boot");
    const { esp, bootlog, cmdline } = config.paths;
    return await openBoot({ esp, bootlog, cmdline: await readFile(cmdline, "utf8") });
  });
  const plain = bootPort(control, sysroot);
  const boot: BootPort = {
    ...plain,
    markGood: async () => {
      await plain.markGood();
      // The last moment for versions on trial (keelson-trial-deadline) is over.
      await rm(TRIAL_MARK, { force: true });
    },
  };
  const { puller, deployer } = ostreePorts({
    sysroot,
    boot,
    url: config.repositoryUrl,
    keyDirectories: config.keyDirectories,
    allowDowngrade: config.allowDowngrade,
    verify: config.verify,
  });
  const { lock, board } = await lockOf(config, outside, stack);
  return {
    ...outside,
    identity: config.identity,
    allowDowngrade: config.allowDowngrade,
    graph: new HttpGraphClient(config.baseUrl),
    puller,
    deployer,
    boot,
    lock,
    board,
    gate: new LocalHealthGate([builtinChecks(config), directoryChecks(config.health.directories)], clock, logger),
    rebooter: new SystemdRebooter(),
    store: new FileStateStore(config.paths.state),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function builtinChecks({ health }: Config): () => Promise<readonly Check[]> {
  const findings = { isMajorityAway: false };
  const all = {
    systemd: () => systemdCheck(),
    etcd: () => etcdCheck(etcdProbe(health.etcdEndpoint), findings),
    fleetd: () => fleetdCheck(health.fleetSocket, findings),
  };
  const checks = health.builtin.map((name) => all[name]());
  return async () => checks;
}

async function lockOf(
  config: Config,
  outside: Surroundings,
  stack: AsyncDisposableStack,
): Promise<{ lock: RebootLock; board: UpdateDeps["board"] }> {
  const { strategy, lock, window } = config;
  const isShared = strategy === "etcd-lock" || strategy === "best-effort";
  const locksmith = await import("@keelson/locksmith");
  const zone = locksmith.timeZone(window?.timeZone ?? "UTC");
  const rebootWindow =
    window === undefined ? undefined : locksmith.parseRebootWindow(window.start, window.length, zone);
  const common = { strategy, id: lock.id, machine: lock.machine, mayLoseQuorum: lock.mayLoseQuorum, ...outside };
  const windowFor = (isWindowed: boolean) => (isWindowed && rebootWindow !== undefined ? { window: rebootWindow } : {});
  if (!isShared) {
    const make = (onState: RebootOnState, options: { window: boolean }): RebootCoordinator =>
      new locksmith.RebootCoordinator({ ...common, ...windowFor(options.window), onState });
    return { lock: new LocksmithLock(make), board: NO_BOARD };
  }
  const { EtcdClient: Client } = await import("@keelson/etcd-client");
  const connect = (endpoints: readonly string[]): EtcdClient =>
    new Client({ endpoints, logger: outside.logger, ...(lock.tls === undefined ? {} : { tls: lock.tls }) });
  const client = connect(lock.endpoints);
  stack.use(client);
  const store: LockStore = new locksmith.EtcdLockStore(client);
  const semaphore = new locksmith.Semaphore({ store, group: lock.group, holdTtlMs: lock.ttlMs, ...outside });
  const quorum = new locksmith.EtcdMembers({ client, connect, selfEndpoint: config.health.etcdEndpoint });
  const make = (onState: RebootOnState, options: { window: boolean }): RebootCoordinator =>
    new locksmith.RebootCoordinator({ ...common, ...windowFor(options.window), semaphore, quorum, onState });
  return { lock: new LocksmithLock(make), board: locksmithBoard(async () => store) };
}

type RebootOnState = ConstructorParameters<typeof LocksmithLock>[0] extends (
  onState: infer S,
  options: never,
) => unknown
  ? S
  : never;
