import { describe, expect, it } from "vitest";
import { canPublish } from "./cni.ts";
import { checkPlan, formatPlan, parsePlan } from "./plan.ts";
import { podLayout } from "./pod-files.ts";
import { planOf, refusalOf, UUID } from "./testing.ts";
import { renderUnits, systemdRunArguments } from "./units.ts";

const WEB = [
  "--port=80-tcp:127.0.0.1:8080",
  "--volume=data,kind=host,source=/srv/data,readOnly=true",
  "--dns=10.0.0.1",
  "--hosts-entry=10.0.0.9=db",
  "registry.example:5000/team/web:1",
  "--memory=64Mi",
  "--cpu=500m",
  "--user=web",
  "--mount=volume=data,target=/data",
  "--restart=always",
  "--",
  "--verbose",
];
const TWO = [
  "--net=default:IP=172.16.28.7,plain",
  "--volume=tmp,kind=empty,mode=1777",
  "--hostname=pair",
  "one",
  "--name=a",
  "--readonly-rootfs",
  "--mount=volume=tmp,target=/tmp/x",
  "--caps-retain=net_bind_service",
  "two",
  "--name=b",
  "--exec=/bin/sh",
  "--cpu-shares=512",
  "--tasks-max=20",
  "--",
  "-c",
  "echo 'it is'",
];
const HOST = [
  "--net=host",
  "--insecure-options=all-run",
  "--dns=none",
  "--sysctl=kernel.shmmax=1",
  "tool",
  "--oom-score-adj=-5",
  "--rlimit=nofile=1024",
  "--no-new-privileges=false",
];

describe.each([
  ["web", WEB],
  ["two", TWO],
  ["host", HOST],
])("the pod %s", (name, argv) => {
  const plan = planOf(
    argv,
    name === "web" ? { run: { volumes: ["/var/cache"], stopSignal: "SIGQUIT", labels: { team: "a" } } } : {},
  );
  const golden = (file: string) => new URL(`../../testdata/plans/${name}.${file}`, import.meta.url).pathname;

  it("has the plan that it had", async () => {
    await expect(formatPlan(plan)).toMatchFileSnapshot(golden("plan.json"));
    expect(parsePlan(formatPlan(plan))).toEqual(plan);
  });

  it("has the files that it had", async () => {
    const { directories, files } = podLayout(plan, { podDirectory: `/var/lib/rkt/pods/run/${UUID}` });
    const shown = files
      .filter(({ path }) => path !== "plan.json")
      .map(
        ({ path, mode, content }) =>
          `=== ${path} ${mode.toString(8)}\n${path.endsWith("config.json") ? `${JSON.stringify(withoutSyscalls(JSON.parse(content)), null, 1)}\n` : content}`,
      );
    await expect(
      `${directories.map(({ path, mode, uid, gid }) => `${path}/ ${mode.toString(8)} ${uid}:${gid}\n`).join("")}${shown.join("")}`,
    ).toMatchFileSnapshot(golden("files.txt"));
  });

  it("has the units that it had", async () => {
    const { slice, net, apps } = renderUnits(plan, `/var/lib/rkt/pods/run/${UUID}`);
    const lines = [...(net === undefined ? [] : [net]), ...apps].map((unit) => systemdRunArguments(unit).join("\n  "));
    await expect(`${slice}\n${lines.join("\n\n")}\n`).toMatchFileSnapshot(golden("units.txt"));
  });
});

/** The names of system calls are data of their own. */
function withoutSyscalls(config: { linux: { seccomp?: { syscalls: { names: string[] }[] } } }): unknown {
  for (const rule of config.linux.seccomp?.syscalls ?? [])
    if (rule.names.length > 1) rule.names = [`${rule.names.length} names`];
  return config;
}

describe("a plan", () => {
  it("is the same for the same input", () => {
    expect(formatPlan(planOf(WEB))).toBe(formatPlan(planOf(WEB)));
  });

  it("takes user, group and home from the image", () => {
    const { user, env } = planOf(WEB).apps[0]?.process ?? { user: undefined, env: [] };
    expect(user).toEqual({ uid: 1000, gid: 1001, additionalGids: [1002] });
    expect(env).toContain("HOME=/home/web");
  });

  it.each([
    [["one", "--user=nobody"], "not in the image's /etc/passwd"],
    [["one", "one"], "two apps would be called one"],
    [["--net=lost", "one"], "there is no network lost; there are: default, host, none, plain"],
  ])("is refused: %j", (argv, message) => expect(() => planOf(argv)).toThrow(message));

  it("is refused when a file of it was changed into something else", () => {
    const plan = planOf(WEB);
    const app = plan.apps[0];
    for (const change of [
      { version: 2 },
      { uuid: "../../etc" },
      { apps: [] },
      { extra: 1 },
      { apps: [{ ...app, name: "../x" }] },
      { apps: [{ ...app, layers: [{ diffId: "sha256:00", path: "/x" }] }] },
      { apps: [{ ...app, layers: [{ diffId: app?.layers[0]?.diffId, path: "/x'; reboot" }] }] },
      { apps: [{ ...app, mounts: [{ volume: "lost", path: "/x", readOnly: true }] }] },
      { apps: [app, app] },
    ]) {
      const shown = JSON.stringify(change).slice(0, 100);
      expect(refusalOf(() => checkPlan({ ...plan, ...change })) ?? `takes ${shown}`).toContain("the plan is not valid");
    }
    expect(() => parsePlan("{")).toThrow("not JSON");
  });

  it("says whether its networks can publish ports", () => {
    expect(canPublish(planOf(["one"]).network)).toBe(true);
    expect(canPublish(planOf(["--net=plain", "one"]).network)).toBe(false);
    expect(canPublish(planOf(["--net=host", "one"]).network)).toBe(false);
  });
});
