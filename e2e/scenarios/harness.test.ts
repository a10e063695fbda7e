import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { makeSpecs, ProcessProvider, waitFor } from "@keelson/cluster";
import { EtcdClient } from "@keelson/etcd-client";
import { runProcess } from "@keelson/testkit";
import { expect, it } from "vitest";
import { WebProber } from "../harness/prober.ts";
import { TestRegistry, webImage, whyNoRegistry } from "../harness/registry.ts";
import { formatEvent, Timeline } from "../harness/timeline.ts";
import { EtcdWriter } from "../harness/writer.ts";

// What judges scenarios must itself be able to say no.

async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

it("the prober sees gaps and what was answered", async () => {
  let server = createServer((_, response) => response.end("one\n"));
  const port = await listen(server);
  const changes: boolean[] = [];
  await using prober = new WebProber({
    urls: ["http://127.0.0.1:1/", `http://127.0.0.1:${port}/`],
    everyMs: 20,
    gapMs: 300,
    onChange: (isUp) => changes.push(isUp),
  });
  await waitFor("an answer", () => changes.length === 1, { timeoutMs: 10_000 });
  server.close();
  server.closeAllConnections();
  await waitFor("a gap", () => changes.length === 2, { timeoutMs: 10_000 });
  server = createServer((_, response) => response.end("two\n"));
  await listen(server, port);
  await waitFor("the end of the gap", () => changes.length === 3, { timeoutMs: 10_000 });
  const report = await prober.finish();
  server.close();
  expect(changes).toEqual([true, false, true]);
  expect(report.texts).toEqual(["one", "two"]);
  expect(report.gaps).toHaveLength(1);
  expect(report.gaps[0]?.lengthS).toBeGreaterThan(0.3);
  expect(report.answered).toBeLessThan(report.asked);
});

it("the writer finds every acknowledged write, and notices one that is gone", { timeout: 120_000 }, async () => {
  await using provider = new ProcessProvider();
  const [machine] = await provider.start(makeSpecs("writer", 1));
  const endpoints = [machine?.etcdUrl ?? ""];
  const write = async (prefix: string, meanwhile: (client: EtcdClient) => Promise<unknown>) => {
    await using writer = new EtcdWriter({ endpoints, everyMs: 5, prefix });
    await waitFor("some writes", () => writer.acknowledged > 100, { timeoutMs: 60_000 });
    await writer.stop();
    await using client = new EtcdClient({ endpoints });
    await meanwhile(client);
    return await writer.finish();
  };
  expect(await write("whole/", async () => {})).toMatchObject({ lost: [] });
  const tampered = await write("holes/", async (client) => {
    await client.delete("holes/7");
    await client.put("holes/8", "1");
  });
  expect(tampered.acknowledged).toBeGreaterThan(100);
  expect(tampered.lost.map((line) => line.split(":")[0])).toEqual(["holes/7", "holes/8"]);
});

it("the timeline is one line an event, and can be asked", () => {
  const lines: string[] = [];
  const timeline = new Timeline((line) => lines.push(line));
  timeline.add("m1", "reboots into v2");
  expect(lines[0]).toMatch(/^ +0\.\d s {2}m1 {7}reboots into v2$/);
  expect(timeline.find(/reboots/, "m1")).toHaveLength(1);
  expect(timeline.find(/reboots/, "m2")).toHaveLength(0);
  expect(formatEvent({ s: 75.06, who: "harness", what: "v2 is published" })).toBe(
    "   75.1 s  harness  v2 is published",
  );
});

const noRegistry = whyNoRegistry();
if (noRegistry !== undefined) process.stdout.write(`the registry is not tried: ${noRegistry}\n`);
it.skipIf(noRegistry !== undefined)(
  "the registry has the images that are pushed, also after it was killed",
  async () => {
    await using registry = await TestRegistry.start();
    await registry.push("web:1", { ...webImage("hello"), ballastBytes: 1_000_000 });
    await registry.restart();
    const { code, stdout, stderr } = await runProcess("skopeo", [
      "inspect",
      "--tls-verify=false",
      "--config",
      `docker://${registry.host}/web:1`,
    ]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(JSON.parse(stdout).config).toMatchObject({
      Cmd: ["/bin/busybox", "httpd", "-f", "-v", "-p", "8080", "-h", "/www"],
      ExposedPorts: { "8080/tcp": {} },
    });
  },
);
