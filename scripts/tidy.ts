// The repository's own lints, which no tool has: sizes, markers, layer tags, READMEs. Prints each finding; exits 1.
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./lib.ts";

/** A file longer than this is asked to be split. */
const FILE_LINES_MAX = 800;

const findings: string[] = [];

for (const file of globSync("{packages,apps}/*/{src,test,bench}/**/*.ts", { cwd: ROOT })) {
  if (file.includes("/gen/")) continue;
  const text = readFileSync(join(ROOT, file), "utf8");
  const lines = text.split("\n");
  if (lines.length > FILE_LINES_MAX) findings.push(`${file}: ${lines.length} lines, at most ${FILE_LINES_MAX}`);
  for (const [i, line] of lines.entries()) {
    if (/\b(?:FIXME|XXX)\b/.test(line)) findings.push(`${file}:${i + 1}: FIXME`);
    if (/\b(?:it|test|describe)\.only\(/.test(line)) findings.push(`${file}:${i + 1}: .only`);
  }
}

for (const manifest of globSync("{packages,apps}/*/package.json", { cwd: ROOT })) {
  const folder = join(manifest, "..");
  const turbo = join(ROOT, folder, "turbo.json");
  if (!existsSync(turbo) || !/"tags": \["\w+"\]/.test(readFileSync(turbo, "utf8")))
    findings.push(`${folder}: no layer tag in turbo.json`);
  if (!existsSync(join(ROOT, folder, "README.md"))) findings.push(`${folder}: no README.md`);
}

// Registries and mirrors come from the host's configuration; none may be named in what is committed.
for (const file of ["pnpm-lock.yaml", ...globSync("image/**/*.json", { cwd: ROOT })]) {
  if (/https?:\/\//.test(readFileSync(join(ROOT, file), "utf8"))) findings.push(`${file}: names a host`);
}

for (const finding of findings) process.stdout.write(`${finding}\n`);
process.exitCode = findings.length === 0 ? 0 : 1;
