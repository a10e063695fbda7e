import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "@keelson/linux";
import { tempDir, withFileLock } from "@keelson/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { planOf } from "../src/core/testing.ts";
import { type OciConfig, ociConfig } from "../src/index.ts";
import { JsonSchema } from "./harness/json-schema.ts";

/** Debian's package of runtime-spec, which has the schema; fetched once and kept, not in this repository. */
const PACKAGE = "golang-github-opencontainers-specs-dev";
const INSIDE = "usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema";

const schema = await loadSchema();
if (typeof schema === "string") process.stderr.write(`skipping the check against runtime-spec's schema: ${schema}\n`);

const COMMAND_LINES: readonly (readonly string[])[] = [
  ["one"],
  ["--net=host", "one", "--readonly-rootfs"],
  ["--net=none", "--hostname=h", "one", "--user=5:6", "--supplementary-gids=7,8"],
  ["--port=80:8080", "--sysctl=net.core.somaxconn=5", "one", "--caps-retain="],
  ["--insecure-options=all", "one", "--oom-score-adj=-5", "--rlimit=nofile=1:2", "--rlimit=core=0"],
  [
    "--volume=a,kind=host,source=/srv,recursive=false",
    "--volume=b,kind=empty",
    "one",
    "--mount=volume=a,target=/a",
    "--mount=volume=b,target=/b,readOnly=true",
    "--annotation=k=v",
    "--",
    "sh",
    "-c",
    "x",
  ],
  ["one", "--name=a", "--caps-add=sys_admin,net_raw,audit_write", "--no-new-privileges=false", "two", "--seccomp=none"],
];

describe.skipIf(typeof schema === "string")("every bundle, by runtime-spec's own schema", () => {
  let judge: JsonSchema;
  beforeAll(() => {
    judge = new JsonSchema(schema as ReadonlyMap<string, unknown>);
  });
  const configs = COMMAND_LINES.flatMap((argv) => {
    const plan = planOf(argv);
    return plan.apps.map(
      (app) =>
        [
          `${argv.join(" ")} (${app.name})`,
          JSON.parse(JSON.stringify(ociConfig(plan, app, "/var/lib/rkt/pods/run/x"))) as OciConfig,
        ] as const,
    );
  });

  it.each(configs)("%s", (_title, config) => expect(judge.check(config, "config-schema.json")).toEqual([]));

  it("refuses what is wrong, so that its consent means something", () => {
    const [, good] = configs[0] ?? ["", undefined];
    const broken = (change: (config: { [key: string]: never }) => void) => {
      const copy = structuredClone(good) as unknown as { [key: string]: never };
      change(copy);
      return judge.check(copy, "config-schema.json");
    };
    const set = (path: string, value: unknown) => (config: object) => {
      const keys = path.split(".");
      const last = keys.pop() ?? "";
      const at = keys.reduce<Record<string, unknown>>(
        (object, key) => object[key] as Record<string, unknown>,
        config as Record<string, unknown>,
      );
      if (value === undefined) delete at[last];
      else at[last] = value;
    };
    for (const [path, value] of [
      ["ociVersion", undefined],
      ["root.path", 5],
      ["root.path", undefined],
      ["process.cwd", undefined],
      ["process.user.uid", -1],
      ["process.noNewPrivileges", "yes"],
      ["mounts.0.destination", undefined],
      ["linux.namespaces.0.type", "planet"],
      ["linux.seccomp.defaultAction", "ALLOW"],
      ["linux.seccomp.syscalls.0.names", []],
      ["linux.maskedPaths", "/proc"],
      ["process.args", "sh"],
    ] as const) {
      expect(broken(set(path, value)), `${path} = ${JSON.stringify(value)}`).not.toEqual([]);
    }
  });
});

async function loadSchema(): Promise<ReadonlyMap<string, unknown> | string> {
  const root = join(process.env["KEELSON_CACHE"] ?? join(homedir(), ".cache", "keelson"), "runtime-spec");
  try {
    await mkdir(root, { recursive: true });
    const home = join(root, "files");
    await withFileLock(join(root, ".lock"), async () => {
      if ((await readdir(join(home, INSIDE)).catch(() => [])).length > 0) return;
      await using work = await tempDir("specs");
      await run(["apt-get", "download", PACKAGE], { cwd: work.path, timeoutMs: 60_000 });
      const [deb] = (await readdir(work.path)).filter((name) => name.endsWith(".deb"));
      await run(["dpkg-deb", "-x", join(work.path, deb ?? ""), join(root, "files.new")]);
      await rename(join(root, "files.new"), home);
    });
    const names = (await readdir(join(home, INSIDE))).filter((name) => name.endsWith(".json"));
    return new Map(
      await Promise.all(
        names.map(async (name) => [name, JSON.parse(await readFile(join(home, INSIDE, name), "utf8"))] as const),
      ),
    );
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
