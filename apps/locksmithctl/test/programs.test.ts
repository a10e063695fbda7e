import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { runProcess, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { completionScript } from "../src/completion.ts";

const MAIN = join(import.meta.dirname, "../src/main.ts");

it("one program with two names", async () => {
  await using dir = await tempDir("locksmith-names");
  const ctl = await runProcess(process.execPath, [MAIN, "-version"]);
  expect(ctl).toMatchObject({ code: 0, stdout: "locksmithctl version 0.1.0\n", stderr: "" });
  await symlink(MAIN, dir.join("locksmithd"));
  const daemon = await runProcess(process.execPath, [dir.join("locksmithd"), "-version"]);
  expect(daemon).toMatchObject({ code: 0, stdout: "locksmithd version 0.1.0\n", stderr: "" });
});

it("what answers at once loads no etcd client", async () => {
  const code = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    process.argv = [process.argv[0], ${JSON.stringify(MAIN)}, "help"];
    process.on("exit", () => process.stderr.write(loaded.filter((url) => /grpc|etcd-client|packages\\/locksmith/.test(url)).join("\\n")));
    await import(${JSON.stringify(MAIN)});
  `;
  const { code: exitCode, stdout, stderr } = await runProcess(process.execPath, ["--input-type=module", "-e", code]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toMatch(/^NAME:\n\tlocksmithctl/);
});

it("the completion for bash is bash", async () => {
  const { code, stderr } = await runProcess("bash", ["-n"], { input: completionScript("bash", ["lock", "unlock"]) });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});
