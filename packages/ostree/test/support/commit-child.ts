// A process that commits again and again, to be killed: `commit-child.ts <repo> <tree> <ref> <number of the last commit>`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { commitTree, openRepo } from "../../src/index.ts";

const [path = "", tree = "", ref = "", last = "0"] = process.argv.slice(2);
const repo = await openRepo(path);
for (let i = Number(last) + 1; ; i++) {
  writeFileSync(join(tree, "changing"), `version ${i} of ${process.pid} ${"x".repeat(i % 100)}`);
  const { checksum } = await commitTree(repo, tree, { ref, timestamp: i, parent: null });
  // Said only when it is durable.
  process.stdout.write(`committed ${checksum}\n`);
}
