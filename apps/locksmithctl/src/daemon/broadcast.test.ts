import { readFile, writeFile } from "node:fs/promises";
import { tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { broadcast } from "./broadcast.ts";

it("writes upstream's warning to the terminals that there are", async () => {
  await using dir = await tempDir("broadcast");
  const tty = dir.join("tty");
  await writeFile(tty, "");
  const at = "2026-03-01T00:00:00.000Z";
  expect(await broadcast([tty, dir.join("none")], "System reboot in 5 minutes!", at)).toBe(1);
  const blank = `\r${" ".repeat(79)}\r\n`;
  const line = (text: string) => text.padEnd(79);
  expect(await readFile(tty, "utf8")).toBe(
    `${blank}${line(`Broadcast message from locksmithd at ${at}:`)}\x07\x07\r\n${line("System reboot in 5 minutes!")}\r\n${blank}`,
  );
});
