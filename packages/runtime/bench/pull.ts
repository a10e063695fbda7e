import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleProgram } from "../test/images/bundle.ts";
import { must, startDockerRegistry } from "../test/images/upstream.ts";

// Pull and unpack of an image of 100 MB from docker-registry on loopback: ours next to podman and to skopeo copy (which unpacks nothing), in one run.
// node bench/pull.ts [ROUNDS]

const ROUNDS = Number(process.argv[2] ?? 5);
const LAYERS = 4;
const LAYER_BYTES = 25_000_000;

/** Programs and libraries of this host, as an image would have them. */
async function makeImage(dir: string): Promise<{ bytes: number; files: number }> {
  const groups: string[][] = [[]];
  let bytes = 0;
  let files = 0;
  let inGroup = 0;
  for (const folder of ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/share/perl", "/usr/lib/python3"]) {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
      const path = join(entry.parentPath, entry.name);
      const size = entry.isFile() ? (await stat(path)).size : 0;
      if (size === 0 || size > 5_000_000 || bytes >= LAYERS * LAYER_BYTES) continue;
      if (inGroup + size > LAYER_BYTES && groups.length < LAYERS) {
        groups.push([]);
        inGroup = 0;
      }
      groups.at(-1)?.push(path.slice(1));
      inGroup += size;
      bytes += size;
      files++;
    }
  }
  await must("umoci", ["init", "--layout", "layout"], dir);
  await must("umoci", ["new", "--image", "layout:v1"], dir);
  for (const [i, group] of groups.entries()) {
    await must(
      "sh",
      [
        "-c",
        `umoci unpack --image layout:v1 b${i} && tar -C / -cf - -T - | tar -C b${i}/rootfs -xf - && umoci repack --image layout:v1 b${i} && rm -rf b${i}`,
      ],
      dir,
      group.join("\n"),
    );
  }
  return { bytes, files };
}

interface Contender {
  readonly name: string;
  run(round: number): Promise<number | undefined>;
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

const dir = await mkdtemp(join(tmpdir(), "keelson-bench-"));
try {
  const made = await makeImage(dir);
  await using registry = await startDockerRegistry(dir);
  const name = `${registry.host}/bench/app:v1`;
  await must("skopeo", ["copy", "-q", "--dest-tls-verify=false", "oci:layout:v1", `docker://${name}`], dir);
  const blobs = Number((await must("du", ["-sb", "layout/blobs"], dir)).split("\t")[0]);
  console.log(
    `image: ${(made.bytes / 1e6).toFixed(0)} MB in ${made.files} files and ${LAYERS} layers, ${(blobs / 1e6).toFixed(0)} MB packed; ${ROUNDS} rounds`,
  );
  const podman = [
    "--root",
    join(dir, "p"),
    "--runroot",
    join(dir, "r"),
    "--tmpdir",
    join(dir, "t"),
    "--storage-driver=overlay",
  ];
  const worker = await bundleProgram(join(import.meta.dirname, "pull-worker.ts"), join(dir, "worker.mjs"));
  let inside = Number.POSITIVE_INFINITY;
  const contenders: Contender[] = [
    {
      name: "keelson (verified, EROFS, fsynced)",
      async run(round) {
        const root = join(dir, `store${round}`);
        const ms = await timed(async () => {
          const out = await must(process.execPath, [worker, root, name]);
          inside = Math.min(inside, (JSON.parse(out) as { ms: number }).ms);
        });
        await rm(root, { recursive: true });
        return ms;
      },
    },
    {
      name: "podman pull (overlay, not synced)",
      async run() {
        const ms = await timed(() => must("podman", [...podman, "pull", "-q", "--tls-verify=false", name]));
        await must("podman", [...podman, "rmi", "-a", "-f"]);
        return ms;
      },
    },
    {
      name: "skopeo copy to dir: (unpacks nothing)",
      async run(round) {
        const to = join(dir, `copy${round}`);
        const ms = await timed(() =>
          must("skopeo", ["copy", "-q", "--src-tls-verify=false", `docker://${name}`, `dir:${to}`]),
        );
        await rm(to, { recursive: true });
        return ms;
      },
    },
  ];
  const times = new Map<string, number[]>(contenders.map((c) => [c.name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const contender of contenders) times.get(contender.name)?.push((await contender.run(round)) ?? 0);
  }
  const best = (contender: Contender | undefined) => Math.min(...(times.get(contender?.name ?? "") ?? []));
  for (const contender of contenders) {
    const sorted = (times.get(contender.name) ?? []).toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    console.log(
      `${contender.name.padEnd(40)} min ${best(contender).toFixed(0).padStart(6)} ms   median ${median.toFixed(0).padStart(6)} ms`,
    );
  }
  console.log(`of ours, without the start of the process: min ${inside.toFixed(0)} ms`);
  console.log(`pull+unpack: podman / keelson = ${(best(contenders[1]) / best(contenders[0])).toFixed(2)}`);
} finally {
  await rm(dir, { recursive: true, force: true });
}
