import { constants } from "node:fs";
import { open } from "node:fs/promises";

const WIDTH = 79;

/** Writes upstream's warning to terminals; resolves with how many took it. A terminal that does not read is passed over. */
export async function broadcast(terminals: readonly string[], text: string, at: string): Promise<number> {
  const written = await Promise.all(terminals.map((path) => writeTo(path, render(text, at))));
  return written.filter(Boolean).length;
}

function render(text: string, at: string): string {
  const line = (content: string) => content.slice(0, WIDTH).padEnd(WIDTH);
  const blank = `\r${" ".repeat(WIDTH)}\r\n`;
  return `${blank}${line(`Broadcast message from locksmithd at ${at}:`)}\x07\x07\r\n${line(text)}\r\n${blank}`;
}

async function writeTo(path: string, text: string): Promise<boolean> {
  try {
    await using file = await open(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    await file.write(text);
    return true;
  } catch {
    return false;
  }
}
