import { randomBytes } from "node:crypto";
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram } from "@keelson/image-builder";
import { freePort, type ProcessHandle, runProcess, startProcess, type TempDir, tempDir } from "@keelson/testkit";

const NEEDED = ["docker-registry", "umoci", "skopeo", "busybox"] as const;

/** Why no registry can be run here, with what to install; undefined when it can. */
export function whyNoRegistry(): string | undefined {
  const missing = NEEDED.filter((name) => findProgram(name) === undefined);
  return missing.length > 0 ? `apt-get install ${missing.join(" ").replace("busybox", "busybox-static")}` : undefined;
}

/** An image to make: one layer with a static busybox, and what is given. */
export interface ImageRecipe {
  /** Path in the image → content. */
  readonly files?: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** Such as `8080/tcp`. */
  readonly ports?: readonly string[];
  /** Bytes that do not compress, in a file of their own, for pulls of a size. */
  readonly ballastBytes?: number;
}

/** Debian's docker-registry on loopback, filled by umoci and skopeo. */
export class TestRegistry implements AsyncDisposable {
  readonly port: number;
  readonly #directory: TempDir;
  #process: ProcessHandle;

  private constructor(port: number, directory: TempDir, process: ProcessHandle) {
    this.port = port;
    this.#directory = directory;
    this.#process = process;
  }

  static async start(): Promise<TestRegistry> {
    const directory = await tempDir("registry");
    const port = await freePort();
    const config = [
      "version: 0.1",
      "log: { level: warn }",
      `storage: { filesystem: { rootdirectory: ${directory.join("data")} }, delete: { enabled: true } }`,
      `http: { addr: "127.0.0.1:${port}" }`,
      "",
    ];
    await writeFile(directory.join("config.yml"), config.join("\n"));
    return new TestRegistry(port, directory, await launch(directory, port));
  }

  /** `127.0.0.1:port`, as the host names it. */
  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Makes an image with umoci and pushes it as `name`, such as `web:1`, with skopeo. */
  async push(name: string, recipe: ImageRecipe): Promise<void> {
    await using work = await tempDir("image");
    const umoci = (...args: string[]) => must("umoci", args, work.path);
    await umoci("init", "--layout", "layout");
    await umoci("new", "--image", "layout:latest");
    await umoci("unpack", "--image", "layout:latest", "bundle");
    await writeRootfs(work.join("bundle/rootfs"), recipe);
    await umoci("repack", "--image", "layout:latest", "bundle");
    const settings = [
      ...recipe.command.flatMap((word) => ["--config.cmd", word]),
      ...(recipe.ports ?? []).flatMap((port) => ["--config.exposedports", port]),
    ];
    await umoci("config", "--image", "layout:latest", ...settings);
    const target = `docker://${this.host}/${name}`;
    await must("skopeo", ["copy", "-q", "--dest-tls-verify=false", "oci:layout:latest", target], work.path);
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  /** Starts it again on its port and its images. */
  async restart(): Promise<void> {
    await this.kill();
    this.#process = await launch(this.#directory, this.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#directory[Symbol.asyncDispose]();
  }
}

async function launch(directory: TempDir, port: number): Promise<ProcessHandle> {
  const registry = startProcess("docker-registry", ["serve", directory.join("config.yml")], { cwd: directory.path });
  await registry.waitForPort(port);
  return registry;
}

/** A recipe of a web server that answers `text` on `port`. */
export function webImage(text: string, port = 8080): ImageRecipe {
  return {
    files: { "www/index.html": `${text}\n` },
    command: ["/bin/busybox", "httpd", "-f", "-v", "-p", String(port), "-h", "/www"],
    ports: [`${port}/tcp`],
  };
}

async function writeRootfs(rootfs: string, recipe: ImageRecipe): Promise<void> {
  for (const directory of ["bin", "etc", "tmp", "proc", "sys", "dev"]) await mkdir(join(rootfs, directory));
  await copyFile(findProgram("busybox") ?? "busybox", join(rootfs, "bin/busybox"));
  await chmod(join(rootfs, "bin/busybox"), 0o755);
  await symlink("busybox", join(rootfs, "bin/sh"));
  await writeFile(join(rootfs, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  for (const [path, content] of Object.entries(recipe.files ?? {})) {
    await mkdir(join(rootfs, path, ".."), { recursive: true });
    await writeFile(join(rootfs, path), content);
  }
  if (recipe.ballastBytes !== undefined) await writeFile(join(rootfs, "ballast"), randomBytes(recipe.ballastBytes));
}

async function must(program: string, args: readonly string[], cwd: string): Promise<void> {
  const { code, stderr } = await runProcess(program, args, { cwd, timeoutMs: 120_000 });
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${stderr}`);
}
