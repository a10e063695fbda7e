// Runs in the test's machine: commands of the runtime, with images that a file describes. Prints JSON.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { ImageConfig } from "@keelson/oci";
import { formatErrorChain } from "@keelson/types";
import { PodRuntime, parseRunArguments, systemctlManager } from "../../src/index.ts";

const images = JSON.parse(await readFile("/var/lib/rkt/test-images.json", "utf8")) as Record<
  string,
  { id: string; config: ImageConfig; layers: { diffId: string; erofsPath: string }[] }
>;
const runtime = await PodRuntime.open({
  images: {
    get: (name) => Promise.resolve(images[name] === undefined ? undefined : { ...images[name], names: [name] }),
    pull: (name) => Promise.reject(new Error(`no image ${name}`)),
  },
  services: systemctlManager(),
  environment: { INHERITED: "yes" },
});

async function act([operation = "", ...rest]: readonly string[]): Promise<unknown> {
  switch (operation) {
    case "prepare": {
      const { request, flags } = parseRunArguments(rest, {
        unit: { kind: "value", help: "" },
        kill: { kind: "value", help: "" },
      });
      const unit = flags.one("unit");
      const kill = flags.one("kill");
      let steps = 0;
      const onStep = (step: string) => {
        steps++;
        if (kill === step || kill === String(steps)) process.kill(process.pid, "SIGKILL");
      };
      const plan = await runtime.prepare(request, {
        onStep,
        ...(unit === undefined ? {} : { unit: { name: unit, arguments: rest } }),
      });
      return { uuid: plan.uuid, steps, plan };
    }
    case "run": {
      const plan = await runtime.prepare(parseRunArguments(rest).request);
      await runtime.runPrepared(plan.uuid);
      return { uuid: plan.uuid };
    }
    case "run-prepared":
      return await runtime.runPrepared(rest[0] ?? "");
    case "list":
      return await runtime.list();
    case "status":
      return await runtime.status(rest[0] ?? "");
    case "stop":
      return await runtime.stop(rest[0] ?? "", { isForced: rest[1] === "--force" });
    case "rm":
      return await runtime.remove(rest[0] ?? "");
    case "gc":
      return await runtime.collect({
        graceMs: Number(rest[0] ?? 0),
        preparedMs: Number(rest[1] ?? 86_400_000),
        isMarkOnly: false,
      });
    default:
      throw new Error(`no operation ${operation}`);
  }
}

async function answer(words: readonly string[]): Promise<string> {
  try {
    return JSON.stringify({ ok: await act(words) });
  } catch (error) {
    return JSON.stringify({ error: formatErrorChain(error), code: (error as { code?: string }).code });
  }
}

const words = process.argv.slice(2);
if (words[0] === "serve") {
  // One command a line, so that tests need not start Node for each.
  for await (const line of createInterface({ input: process.stdin }))
    process.stdout.write(`${await answer(JSON.parse(line) as string[])}\n`);
} else process.stdout.write(await answer(words));
