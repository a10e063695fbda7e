// The start of a prepared pod beside `crun run` alone and `podman run`, in the same run: node bench/start.ts [runs].
// podman gets runc (Debian's, unpacked and not installed): crun 1.8 cannot set up podman's device filter without
// CAP_SYS_RESOURCE, which the test machine lacks.
import { spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { run } from "@keelson/linux";
import { PodMachine, problem } from "../test/harness/machine.ts";

if (problem !== undefined) {
  console.error(problem);
  process.exit(1);
}
const RUNS = Number(process.argv[2] ?? 15);
await using machine = await PodMachine.boot();
const enter = ["nsenter", "-t", String(machine.box.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"];

interface Row {
  readonly what: string;
  readonly minMs: number;
  readonly medianMs: number;
}
const rows: Row[] = [];

/** Times a command from its start to the end of what it ran; what entering the machine costs is taken off. */
function measure(what: string, argv: readonly string[], between?: readonly string[]): void {
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const started = performance.now();
    const { status, stderr } = spawnSync(enter[0] ?? "", [...enter.slice(1), ...argv], { encoding: "utf8" });
    times.push(performance.now() - started);
    if (status !== 0) {
      console.log(`${what}: not measured: ${stderr.trim().slice(-400).split("\n").at(-1)}`);
      return;
    }
    if (between !== undefined) spawnSync(enter[0] ?? "", [...enter.slice(1), ...between]);
  }
  times.sort((a, b) => a - b);
  rows.push({ what, minMs: times[0] ?? 0, medianMs: times[Math.floor(times.length / 2)] ?? 0 });
}

async function fetchRunc(): Promise<string[]> {
  try {
    await run(["apt-get", "download", "runc"], { cwd: machine.directory, timeoutMs: 60_000 });
    const deb = (await readdir(machine.directory)).find((name) => name.endsWith(".deb")) ?? "";
    await run(["dpkg-deb", "-x", `${machine.directory}/${deb}`, `${machine.directory}/rkt/runc`]);
    return ["--runtime=/var/lib/rkt/runc/usr/sbin/runc"];
  } catch (error) {
    console.log(`podman with its own runtime: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
}

/** A prepared pod that has been claimed, so that its scripts can be run over and over. */
async function claimed(...argv: string[]): Promise<string> {
  const { uuid } = await machine.ok<{ uuid: string }>("prepare", ...argv);
  await machine.sh(`mv /var/lib/rkt/pods/prepared/${uuid} /var/lib/rkt/pods/run/${uuid}`);
  return `/var/lib/rkt/pods/run/${uuid}`;
}

const pod = await claimed("--net=host", "busybox", "--name=app", "--", "true");
const net = await claimed("--port=80:8080", "busybox", "--name=app", "--", "true");
// The same container on a plain directory: what no runtime can be faster than.
await machine.sh(`mkdir -p /run/plain/rootfs && cp -a ${pod}/apps/app/config.json /run/plain && sed -i 's#/run/rkt/mnt/rootfs#/run/plain/rootfs#' /run/plain/config.json
  mkdir -p /run/m && mount -t erofs -o ro,nodev /var/lib/rkt/layers/sha256-*.erofs /run/m; cp -a /run/m/. /run/plain/rootfs; umount /run/m
  cp /usr/lib/rkt/rt-lib /run; touch ${pod}/etc/resolv.conf`);
await machine.sh(
  "mkdir -p /run/podman /etc/containers; tar -C /run/plain/rootfs -c . | podman --root=/run/podman/root --runroot=/run/podman/run --storage-driver=vfs import - box >/run/podman/log 2>&1",
);

measure("true (entering the machine)", ["true"]);
measure("crun run, on a plain directory", [
  "crun",
  "--root=/run/rkt/crun",
  "--cgroup-manager=disabled",
  "run",
  "--bundle=/run/plain",
  "plain",
]);
measure("rt-exec: EROFS, overlay, crun", [
  "unshare",
  "--mount",
  "--propagation=slave",
  "--",
  "/usr/lib/rkt/rt-exec",
  pod,
  "app",
]);
const service = ["--quiet", "--wait", "--collect", "--property=PrivateMounts=yes", "--property=Type=exec"];
measure("systemd-run --wait true", ["systemd-run", ...service, "true"]);
measure("pod as a service, to its end", [
  "systemd-run",
  ...service,
  `--property=ExecStopPost=-/usr/lib/rkt/rt-stop ${pod} app`,
  "/usr/lib/rkt/rt-exec",
  pod,
  "app",
]);
measure("pod as a service, bridge and port", [
  "systemd-run",
  ...service,
  "--property=PrivateNetwork=yes",
  `--property=ExecStartPre=/usr/lib/rkt/rt-net add ${net}`,
  `--property=ExecStopPost=-/usr/lib/rkt/rt-stop ${net} app`,
  "/usr/lib/rkt/rt-exec",
  net,
  "app",
]);
const runc = await fetchRunc();
const podman = [
  "podman",
  "--root=/run/podman/root",
  "--runroot=/run/podman/run",
  "--storage-driver=vfs",
  "--cgroup-manager=cgroupfs",
  ...runc,
  "run",
  "--rm",
  "--pids-limit=0",
];
measure("podman run --rm --network=none", [...podman, "--network=none", "box", "/bin/true"]);
measure("podman run --rm (bridge)", [...podman, "box", "/bin/true"]);

const base = rows[0]?.minMs ?? 0;
const alone = rows.find(({ what }) => what.startsWith("crun run"));
console.log(
  `\nmilliseconds from start to end of a container that does nothing, ${RUNS} runs, without the ${base.toFixed(1)} ms of entering the machine`,
);
console.log(`${"what".padEnd(38)}${"min".padStart(8)}${"median".padStart(9)}${"min / crun alone".padStart(18)}`);
for (const { what, minMs, medianMs } of rows.slice(1)) {
  const ratio = alone === undefined ? "" : ((minMs - base) / (alone.minMs - base)).toFixed(1);
  console.log(
    `${what.padEnd(38)}${(minMs - base).toFixed(1).padStart(8)}${(medianMs - base).toFixed(1).padStart(9)}${ratio.padStart(18)}`,
  );
}
