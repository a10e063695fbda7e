import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { type RunResult, run, SystemdContainer, systemdContainerProblem } from "@keelson/linux";
import type { ImageConfig } from "@keelson/oci";

const ROOT = resolve(import.meta.dirname, "../../../..");
/** The scripts and data files as they are in the image. */
export const SCRIPTS = join(ROOT, "image/rootfs/usr/lib/rkt");
/** Another root than the host's own programs, or several, topmost first: `KEELSON_TEST_ROOTFS=out/image/rootfs`. */
const lowerdirs = (process.env["KEELSON_TEST_ROOTFS"] ?? "/").split(":").map((path) => resolve(ROOT, path));
const isHost = lowerdirs[0] === "/";

/** Why pods cannot be run here, printed once; undefined when they can. */
export const problem = findProblem();
if (problem !== undefined) process.stderr.write(`skipping the tests with pods: ${problem}\n`);

function findProblem(): string | undefined {
  const other = systemdContainerProblem("/lib/systemd/systemd");
  if (other !== undefined) return other;
  const wanted: readonly (readonly [string, string])[] = [
    ["/usr/bin/crun", "crun"],
    ["/usr/bin/busybox", "busybox-static"],
    ["/usr/bin/mkfs.erofs", "erofs-utils"],
    ["/usr/lib/cni/bridge", "containernetworking-plugins"],
    ["/usr/sbin/iptables", "iptables"],
  ];
  const missing = wanted.find(([path]) => !existsSync(path));
  return missing === undefined ? undefined : `${missing[0]} is missing (Debian: apt-get install ${missing[1]})`;
}

/** What inside.ts answers. */
export interface Answer {
  readonly ok?: unknown;
  readonly error?: string;
  readonly code?: string;
}

/** An image for tests: what its config says, and more files for a layer of its own. */
export interface TestImage {
  readonly run?: Partial<ImageConfig["run"]>;
  readonly files?: Readonly<Record<string, string>>;
}

/** A machine with real systemd, crun, CNI plugins and our scripts, where pods of a busybox image can be run. */
export class PodMachine implements AsyncDisposable {
  readonly box: SystemdContainer;
  readonly directory: string;
  #server: Server | undefined;

  private constructor(box: SystemdContainer, directory: string) {
    this.box = box;
    this.directory = directory;
  }

  static async boot(
    images: Readonly<Record<string, TestImage>> = { busybox: {} },
    netns?: string,
  ): Promise<PodMachine> {
    const directory = await mkdtemp(join(tmpdir(), "keelson-pods-"));
    const rkt = join(directory, "rkt");
    await mkdir(join(rkt, "layers"), { recursive: true });
    await makeImages(directory, rkt, images);
    await writeFile(join(directory, "mount"), MOUNT_SHIM, { mode: 0o755 });
    const box = await SystemdContainer.start({
      lowerdirs,
      hostname: "pods",
      arguments: ["systemd.unit=basic.target", "fstab=no", "systemd.getty_auto=no", "systemd.mask=timers.target"],
      ...(netns === undefined ? {} : { netns }),
      binds: [
        { source: rkt, target: "/var/lib/rkt" },
        { source: SCRIPTS, target: "/usr/lib/rkt", readOnly: true },
        ...(isHost ? [{ source: join(directory, "mount"), target: "/usr/local/bin/mount", readOnly: true }] : []),
        // Also on the host's own root: the machine's /tmp is another, and a clone may be there.
        { source: ROOT, target: ROOT, readOnly: true },
      ],
    });
    await box.waitBoot();
    // Plugins set sysctls of the machine's own network, which SystemdContainer keeps read-only.
    const net =
      "mkdir /run/p && mount -t proc proc /run/p && mount --bind /run/p/sys/net /proc/sys/net && umount /run/p && rmdir /run/p";
    await box.exec(["sh", "-euc", `${net}; echo 1 >/proc/sys/net/ipv4/ip_forward`]);
    return new PodMachine(box, directory);
  }

  /** Runs one command of the runtime. */
  async do(...words: string[]): Promise<Answer> {
    this.#server ??= new Server(this.box.pid);
    return JSON.parse(await this.#server.ask(words)) as Answer;
  }

  /** As {@link do}, in a process of its own, which may be killed. */
  async once(...words: string[]): Promise<Answer> {
    const argv = [process.execPath, join(import.meta.dirname, "inside.ts"), ...words] as const;
    const { stdout, stderr, exitCode } = await this.box.exec(argv, { check: false, timeoutMs: 60_000 });
    if (stdout === "") return { error: `exit ${exitCode}: ${stderr}` };
    return JSON.parse(stdout) as Answer;
  }

  /** As {@link do}, for what has to go well. */
  async ok<T>(...words: string[]): Promise<T> {
    const answer = await this.do(...words);
    if (answer.ok === undefined) throw new Error(`${words.join(" ")}: ${answer.error}`);
    return answer.ok as T;
  }

  /** Runs a shell script; its output without the last line end. */
  async sh(script: string): Promise<string> {
    return (await this.box.exec(["sh", "-c", script], { check: false, timeoutMs: 60_000 })).stdout.trimEnd();
  }

  /** Runs a shell script. */
  async shell(script: string): Promise<RunResult> {
    return await this.box.exec(["sh", "-c", script], { check: false, timeoutMs: 60_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.stop();
    await this.box.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** inside.ts as a process that answers one command after the other. */
class Server {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(pid: number) {
    const enter = ["nsenter", "-t", String(pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"];
    const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
    this.#child = spawn(
      enter[0] ?? "",
      [...enter.slice(1), process.execPath, join(import.meta.dirname, "inside.ts"), "serve"],
      { env, stdio: ["pipe", "pipe", "inherit"] },
    );
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async ask(words: readonly string[]): Promise<string> {
    const answer = this.#last.then(async () => {
      this.#child.stdin.write(`${JSON.stringify(words)}\n`);
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`inside.ts ended during ${words.join(" ")}`);
      return value;
    });
    this.#last = answer.catch(() => {});
    return await answer;
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

/** mount(8) of Debian 12 puts a loop device under an EROFS file; that of Debian 13, and the kernel, need none. */
const MOUNT_SHIM = `#!/bin/sh
if [ "$2" = erofs ]; then
  exec perl -e 'syscall(165, $ARGV[0], $ARGV[1], $ARGV[2], 1 | 4, 0) == 0 or die "mount: $ARGV[0]: $!\\n"' "$5" "$6" erofs
fi
exec /usr/bin/mount "$@"
`;

const DIGEST = (n: number) => `sha256:${n.toString(16).padStart(64, "0")}`;

async function makeImages(directory: string, rkt: string, images: Readonly<Record<string, TestImage>>): Promise<void> {
  const base = await makeLayer(directory, rkt, 1, async (tree) => {
    for (const name of ["bin", "etc", "proc", "sys", "dev", "tmp", "run", "root", "home"])
      await mkdir(join(tree, name));
    await cp("/usr/bin/busybox", join(tree, "bin/busybox"));
    const applets = (await run(["/usr/bin/busybox", "--list"])).stdout
      .split("\n")
      .filter((name) => name !== "" && name !== "busybox");
    for (const name of applets) await symlink("busybox", join(tree, "bin", name));
    await writeFile(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home:/bin/sh\n");
    await writeFile(join(tree, "etc/group"), "root:x:0:\nweb:x:1001:\nextra:x:1002:web\n");
  });
  const result: Record<string, unknown> = {};
  let n = 1;
  for (const [name, { run: settings, files }] of Object.entries(images)) {
    n++;
    const layers = [{ diffId: DIGEST(1), erofsPath: base }];
    if (files !== undefined) {
      const path = await makeLayer(directory, rkt, n, async (tree) => {
        for (const [file, content] of Object.entries(files)) {
          await mkdir(join(tree, file, ".."), { recursive: true });
          await writeFile(join(tree, file), content, { mode: 0o755 });
        }
      });
      layers.push({ diffId: DIGEST(n), erofsPath: path });
    }
    result[name] = {
      id: DIGEST(1000 + n),
      layers,
      config: testConfig(
        settings,
        layers.map(({ diffId }) => diffId),
      ),
    };
  }
  await writeFile(join(rkt, "test-images.json"), JSON.stringify(result));
}

/** A config as parseConfig gives it. */
export function testConfig(
  settings: Partial<ImageConfig["run"]> = {},
  diffIds: readonly string[] = [DIGEST(1)],
): ImageConfig {
  const base = {
    user: "",
    env: ["PATH=/bin"],
    entrypoint: [],
    cmd: ["/bin/sh"],
    workingDir: "",
    labels: {},
    exposedPorts: [],
    volumes: [],
  };
  return {
    architecture: "amd64",
    os: "linux",
    diffIds: diffIds as ImageConfig["diffIds"],
    run: { ...base, ...settings },
  };
}

async function makeLayer(
  directory: string,
  rkt: string,
  n: number,
  fill: (tree: string) => Promise<void>,
): Promise<string> {
  const tree = join(directory, `tree-${n}`);
  await mkdir(tree);
  await fill(tree);
  const name = `layers/${DIGEST(n).replace(":", "-")}.erofs`;
  await run(["mkfs.erofs", "--quiet", join(rkt, name), tree]);
  await rm(tree, { recursive: true });
  return `/var/lib/rkt/${name}`;
}
