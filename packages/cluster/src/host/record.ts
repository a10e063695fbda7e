import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { CONTAINER_STATE_DIRECTORY, killLeftovers, sweepContainers } from "@keelson/linux";
import { ClusterError } from "../errors.ts";
import { sweepNetworks } from "../network/network.ts";
import { killTree, processesAtHome } from "../process/process-tree.ts";
import { processStartedAt } from "./process-identity.ts";

/** A process that a crashed harness would leave behind, told from a later one of the same pid by its start. */
export interface KnownProcess {
  readonly pid: number;
  readonly startedAt: string;
}

interface HostRecord {
  readonly host: KnownProcess;
  readonly children: readonly KnownProcess[];
}

/** Where a named cluster of this user lives. Short, because sockets are in it. */
export function clusterDirectory(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,19}$/.test(name)) {
    throw new ClusterError(`cluster name ${JSON.stringify(name)} is not 1 to 20 of a-z, 0-9 and "-"`);
  }
  return join(tmpdir(), `keelson-${userInfo().uid}`, name);
}

export function controlSocket(directory: string): string {
  return join(directory, "control.sock");
}

/** Where the provider keeps its machines, one folder each. */
export function machinesDirectory(directory: string): string {
  return join(directory, "m");
}

/**
 * Makes the directory ours: refuses when a live harness has it, ends what a crashed one left running and removes
 * what it left behind.
 */
export async function claimDirectory(directory: string): Promise<void> {
  const old = await readRecord(directory);
  if (old !== undefined) {
    if (await isAlive(old.host)) {
      throw new ClusterError(
        `a cluster runs in ${directory} already (process ${old.host.pid}): end it with "keelson cluster down", or give another --name`,
      );
    }
    await endLeftovers(old, directory);
  }
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await needOwnParent(directory);
  await writeRecord(directory, []);
}

/** Refuses a parent that another user made first: there they could put sockets and records of their own. */
async function needOwnParent(directory: string): Promise<void> {
  const parent = dirname(directory);
  const { uid, mode } = await stat(parent);
  if (uid === userInfo().uid && (mode & 0o022) === 0) return;
  throw new ClusterError(
    `${parent} is not yours alone: remove it (rm -r ${parent}), or set TMPDIR to a place of yours`,
  );
}

/**
 * Ends what a crashed harness left running and removes its directory. Returns whether there was anything.
 * @throws ClusterError when the harness lives, and only does not answer yet or any more
 */
export async function sweepDirectory(directory: string): Promise<boolean> {
  const old = await readRecord(directory);
  if (old === undefined) return false;
  if (await isAlive(old.host)) {
    throw new ClusterError(
      `the cluster is starting or ending still: wait, or end process ${old.host.pid} with SIGTERM`,
    );
  }
  await endLeftovers(old, directory);
  await rm(directory, { recursive: true, force: true });
  return true;
}

async function endLeftovers(old: HostRecord, directory: string): Promise<void> {
  const left: number[] = [];
  for (const child of old.children) if (await isAlive(child)) left.push(child.pid);
  await killTree(left);
  const machines = machinesDirectory(directory);
  // Programs and commands that were started after the record was written; the home of each is its machine's folder.
  await killTree(processesAtHome(machines));
  for (const name of await readdir(machines).catch(() => [])) await killLeftovers(join(machines, name, "units"));
  if (existsSync(CONTAINER_STATE_DIRECTORY)) await sweepContainers(CONTAINER_STATE_DIRECTORY);
  await sweepNetworks();
}

/** Keeps on disk which processes to end if this one cannot do it any more. */
export async function writeRecord(directory: string, pids: readonly number[]): Promise<void> {
  const known = async (pid: number): Promise<KnownProcess> => ({ pid, startedAt: (await processStartedAt(pid)) ?? "" });
  const record: HostRecord = { host: await known(process.pid), children: await Promise.all(pids.map(known)) };
  await writeFile(join(directory, "host.json"), `${JSON.stringify(record)}\n`);
}

async function readRecord(directory: string): Promise<HostRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, "host.json"), "utf8")) as HostRecord;
  } catch {
    return undefined; // Never written, or half: nothing is known to run.
  }
}

async function isAlive(known: KnownProcess): Promise<boolean> {
  return known.startedAt !== "" && (await processStartedAt(known.pid)) === known.startedAt;
}
