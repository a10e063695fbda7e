import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { type RunResult, runProcess } from "../process-handle.ts";
import type { HostArchive } from "./host-archive.ts";

/** An apt with a state of its own, for one suite: what it does changes nothing on the host and needs no root. */
export interface PrivateApt {
  /** Runs apt-get in `cwd`. */
  run(args: readonly string[], cwd: string): Promise<RunResult>;
  /** What a package depends on, directly or not, as apt-cache lists it: names at the beginning of a line. */
  depends(name: string): Promise<string>;
}

const TIMEOUT_MS = 180_000;

/** Makes the state in `dir`. Proxies and other settings of the host's apt stay in force; its hooks do not. */
export async function createPrivateApt(dir: string, archive: HostArchive, suite: string): Promise<PrivateApt> {
  await mkdir(join(dir, "lists", "partial"), { recursive: true });
  await mkdir(join(dir, "cache", "archives", "partial"), { recursive: true });
  const options = archive.signedBy === undefined ? "" : `[signed-by=${archive.signedBy}] `;
  await writeFile(join(dir, "sources.list"), `deb ${options}${archive.uri} ${suite} main\n`);
  await writeFile(join(dir, "status"), "");
  const hooks = [
    "APT::Update::Pre-Invoke",
    "APT::Update::Post-Invoke",
    "APT::Update::Post-Invoke-Success",
    "DPkg::Post-Invoke",
  ];
  const settings: Record<string, string> = {
    "Dir::Etc::sourcelist": join(dir, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": dir,
    "Dir::State::lists": join(dir, "lists"),
    "Dir::State::status": join(dir, "status"),
    "Dir::Cache": join(dir, "cache"),
    "APT::Sandbox::User": userInfo().username,
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  await writeFile(join(dir, "apt.conf"), [...hooks.map((hook) => `#clear ${hook};`), ...lines, ""].join("\n"));
  const conf = join(dir, "apt.conf");
  const only = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map((kind) => `--no-${kind}`);
  return {
    run: (args, cwd) => runProcess("apt-get", ["-c", conf, "-q", ...args], { cwd, timeoutMs: TIMEOUT_MS }),
    depends: async (name) =>
      (await runProcess("apt-cache", ["-c", conf, "depends", "--recurse", ...only, name])).stdout,
  };
}
