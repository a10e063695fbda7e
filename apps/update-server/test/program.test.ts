import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { eventually, runProcess, startProcess, tempDir } from "@keelson/testkit";
import { Publisher } from "@keelson/update/testing";
import { describe, expect, it } from "vitest";

const MAIN = join(import.meta.dirname, "../src/main.ts");

it("serves what was published, and sees what is published later", async () => {
  await using dir = await tempDir("update-server");
  const publisher = new Publisher(dir.join("srv"));
  await mkdir(publisher.root);
  await using server = startProcess(process.execPath, [MAIN, "--root", publisher.root, "--listen", "127.0.0.1:0"]);
  const url = await eventually(() => /^http:\/\/127\.0\.0\.1:\d+$/m.exec(server.output("stdout"))?.[0], {
    timeoutMs: 20_000,
  });
  const graph = async () => await (await fetch(`${url}/v1/graph?stream=stable&basearch=x86_64`)).json();
  expect(await graph()).toEqual({ kind: "unknown_stream", value: "there is no stream stable" });
  const commit = await publisher.publish("1.0.0");
  expect(await graph()).toMatchObject({ nodes: [{ version: "1.0.0", payload: commit }], edges: [] });
  const config = await fetch(`${url}/repo/config`);
  expect(await config.text()).toContain("mode=archive");
  server.kill("SIGTERM");
  expect(await server.exited).toMatchObject({ code: 0 });
});

describe("bad calls end with a reason", () => {
  it.each([
    [[], /--root is needed/],
    [["--root", "/nowhere"], /\/nowhere is no directory/],
    [["--root", "/tmp", "--listen", "8080"], /--listen is not HOST:PORT: "8080"/],
    [["--bogus"], /Unknown option '--bogus'/],
  ])("%j", async (args, want) => {
    const result = await runProcess(process.execPath, [MAIN, ...args]);
    expect([result.code, result.stdout]).toEqual([2, ""]);
    expect(result.stderr).toMatch(want);
  });
});
