import { open } from "node:fs/promises";
import { generateKeys } from "@keelson/ostree";
import { Command } from "commander";
import type { Io } from "../io.ts";

export function keyCommand(io: Io): Command {
  return new Command("key")
    .summary("make a key pair that signs versions")
    .argument("<file>", "where the private key goes; the public one goes to <file>.pub")
    .action(async (path: string) => {
      const keys = generateKeys();
      // Never over another key: versions that it signed would be trusted by nobody any more.
      await writeNew(path, `${keys.privateKey}\n`, 0o600);
      await writeNew(`${path}.pub`, `${keys.publicKey}\n`, 0o644);
      io.out(`Keep ${path} secret. Machines trust it when built with: osctl build --trust ${path}.pub\n`);
    });
}

async function writeNew(path: string, content: string, mode: number): Promise<void> {
  await using file = await open(path, "wx", mode);
  await file.writeFile(content);
  await file.sync();
}
