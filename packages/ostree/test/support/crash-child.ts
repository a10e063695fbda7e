import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

// Run as a program: does an update in a sysroot and kills itself with SIGKILL just before its n-th change of the file system, or
// in the middle of it. Prints the names of all changes when it gets to its end.
//   crash-child.ts <root> <url> <commit> <cmdline> <n>

const [root = "", url = "", commit = "", cmdline = "", at = ""] = process.argv.slice(2);
const killAt = Number(at);
let changes = 0;
const done: string[] = [];

const SYNC = [
  "chmodSync",
  "chownSync",
  "fchmodSync",
  "fchownSync",
  "fsyncSync",
  "futimesSync",
  "lchownSync",
  "linkSync",
  "mkdirSync",
  "renameSync",
  "rmSync",
  "symlinkSync",
  "unlinkSync",
  "utimesSync",
  "writeFileSync",
  "writeSync",
] as const; // prettier-ignore
const ASYNC = [
  "chmod",
  "chown",
  "copyFile",
  "lchown",
  "link",
  "lutimes",
  "mkdir",
  "open",
  "rename",
  "rm",
  "symlink",
  "unlink",
  "utimes",
  "writeFile",
] as const; // prettier-ignore

/** Half of it is done when the process dies. */
function tear(name: string, args: readonly unknown[]): void {
  const path = String(args[0]);
  if ((name === "rm" || name === "rmSync") && fs.existsSync(path) && fs.lstatSync(path).isDirectory()) {
    const inside = fs
      .readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory());
    for (const entry of inside.slice(0, Math.ceil(inside.length / 2)))
      fs.unlinkSync(`${entry.parentPath}/${entry.name}`);
  }
  if (name === "copyFile") {
    const bytes = fs.readFileSync(path);
    fs.writeFileSync(String(args[1]), bytes.subarray(0, bytes.length >> 1));
  }
}

function patch(target: Record<string, unknown>, names: readonly string[]): void {
  for (const name of names) {
    const original = target[name] as (...args: unknown[]) => unknown;
    target[name] = (...args: unknown[]) => {
      // Opening to read changes nothing, nor does removing what is not there.
      if (name === "open" && (args[1] === undefined || args[1] === "r")) return original(...args);
      if (name.startsWith("rm") && !fs.existsSync(String(args[0]))) return original(...args);
      changes++;
      done.push(name);
      if (changes === killAt) {
        changes = -1e9; // what tears is not counted
        tear(name, args);
        process.kill(process.pid, "SIGKILL");
      }
      return original(...args);
    };
  }
}

patch(fs as unknown as Record<string, unknown>, SYNC);
patch(fs.promises as unknown as Record<string, unknown>, ASYNC);
syncBuiltinESMExports();

const { openSysroot } = await import("../../src/index.ts");
const { update } = await import("./crash-update.ts");
await update(await openSysroot(root, { cmdline }), url, commit);
process.stdout.write(`changes=${done.join(",")}\n`);
