import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ESP_PATHS, formatEntryFile, formatGrubEntry, grubEntryPath, readBootState } from "@keelson/boot/core";
import { run } from "@keelson/linux";
import { ClusterError } from "../../errors.ts";
import { FatReader } from "../esp/fat.ts";
import { findPartition, type ReadAt } from "../esp/gpt.ts";

const TIMEOUT_MS = 30_000;

/**
 * Adds kernel arguments of the machine's own to a disk that boots by a boot loader, as an installer would: to its boot
 * entries, and to the origins of their deployments, from where updates carry them on. The disk is new, so nobody has
 * it mounted. Needs mtools and debugfs.
 */
export async function addMachineArguments(disk: string, words: readonly string[]): Promise<void> {
  await using file = await open(disk, "r");
  const read: ReadAt = async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
  const [esp, root] = [await findPartition(read, "esp"), await findPartition(read, "root")];
  if (esp === undefined || root === undefined)
    throw new ClusterError("the image's disk has no partitions esp and root");
  const fat = await FatReader.open((offset, length) => read(esp.offset + offset, length));
  const entryFiles = new Map<string, string>();
  for (const { name } of (await fat.list(ESP_PATHS.entries)) ?? []) {
    entryFiles.set(name, (await fat.read(`${ESP_PATHS.entries}/${name}`))?.toString("latin1") ?? "");
  }
  const { entries } = readBootState({ entryFiles, grubenv: undefined });
  const work = await mkdtemp(join(tmpdir(), "keelson-entries-"));
  try {
    for (const entry of entries) {
      const there = entry.options.split(" ");
      const own = words.filter((word) => !there.includes(word));
      const changed = { ...entry, options: [...there, ...own].join(" ") };
      const files = [...entryFiles.keys()].filter((name) => name.match(/^keelson-(\d+)/)?.[1] === String(entry.number));
      for (const name of files) {
        await putOnEsp(disk, esp.offset, work, `${ESP_PATHS.entries}/${name}`, formatEntryFile(changed));
      }
      await putOnEsp(disk, esp.offset, work, grubEntryPath(entry.id), formatGrubEntry(changed));
      await addToOrigin(`${disk}?offset=${root.offset}`, work, entry.deployment, own);
    }
  } finally {
    await rm(work, { recursive: true });
  }
}

async function putOnEsp(disk: string, offset: number, work: string, path: string, text: string): Promise<void> {
  const source = join(work, "file");
  await writeFile(source, text);
  await run(["mcopy", "-o", "-i", `${disk}@@${offset}`, source, `::${path}`], { timeoutMs: TIMEOUT_MS });
}

/** `kernel-args` of the group `[keelson]`, which is the last of the file (packages/ostree, sysroot/origin.ts). */
async function addToOrigin(root: string, work: string, deployment: string, words: readonly string[]): Promise<void> {
  const path = `/ostree/deploy/keelson/deploy/${deployment}.origin`;
  const copy = join(work, "origin");
  await run(["debugfs", "-R", `dump ${path} ${copy}`, root], { timeoutMs: TIMEOUT_MS });
  const text = await readFile(copy, "utf8").catch(() => "");
  if (!text.includes("[keelson]") || text.includes("kernel-args=")) {
    throw new ClusterError(`the image's ${path} is not as osctl build writes it`);
  }
  await writeFile(copy, `${text.trimEnd()}\nkernel-args=${words.join(" ")}\n`, { mode: 0o644 });
  const commands = join(work, "commands");
  await writeFile(commands, `rm ${path}\nwrite ${copy} ${path}\n`);
  const { stderr } = await run(["debugfs", "-w", "-f", commands, root], { timeoutMs: TIMEOUT_MS });
  if (/error|not found/i.test(stderr)) throw new ClusterError(`debugfs could not write ${path}: ${stderr.trim()}`);
}
