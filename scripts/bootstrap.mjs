// Sets everything up and runs one of the repository's commands on the Node that the workspace pins.
// Plain JavaScript for any Node >= 20: this is the only file that runs before anything is installed.
//
//   node scripts/bootstrap.mjs <start|test|check|sim|build|gen|keelson> [arguments]
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [command = "help", ...args] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

// What each command runs on Debian packages, beside npm's. Installed only as root on Debian.
const VM_PACKAGES = [
  "mmdebstrap",
  "debian-archive-keyring",
  "e2fsprogs",
  "binutils",
  "xz-utils",
  "qemu-system-x86",
  "iproute2",
  "util-linux",
  "procps",
];
const SYSTEMD_PACKAGES = ["systemd", "dbus"];
// The programs that tests run ours against, and the boot loaders that an image is made with.
const LOADER_PACKAGES = ["dosfstools", "mtools", "fdisk", "grub-common", "grub-pc-bin", "ovmf"];
const JUDGE_PACKAGES = [
  "ostree",
  "docker-registry",
  "skopeo",
  "umoci",
  "podman",
  "crun",
  "erofs-utils",
  "containernetworking-plugins",
  "iptables",
  "busybox-static",
  "qemu-utils",
];
const PACKAGES = {
  test: [...VM_PACKAGES, ...SYSTEMD_PACKAGES, ...LOADER_PACKAGES, ...JUDGE_PACKAGES],
  start: args.includes("--vm")
    ? [...VM_PACKAGES, ...LOADER_PACKAGES]
    : args.includes("--container")
      ? [...VM_PACKAGES, ...SYSTEMD_PACKAGES, ...LOADER_PACKAGES]
      : [],
};

function say(text) {
  process.stderr.write(`keelson: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

function run(file, argv, options = {}) {
  const result = spawnSync(file, argv, { cwd: root, stdio: ["ignore", 2, 2], ...options });
  if (result.error) fail(`cannot run ${file}: ${result.error.message}`);
  return result.status ?? 1;
}

/** pnpm of the pinned version, in .tools, whatever the host has. */
function ensurePnpm() {
  const version = manifest.packageManager.replace("pnpm@", "");
  const bin = join(root, ".tools/node_modules/.bin");
  const installed = join(root, ".tools/node_modules/pnpm/package.json");
  if (existsSync(installed) && JSON.parse(readFileSync(installed, "utf8")).version === version) return bin;
  say(`installing pnpm ${version} into .tools`);
  mkdirSync(join(root, ".tools"), { recursive: true });
  const status = run("npm", [
    "install",
    "--prefix",
    join(root, ".tools"),
    "--no-save",
    "--no-audit",
    "--no-fund",
    `pnpm@${version}`,
  ]);
  if (status !== 0)
    fail(
      "npm could not install pnpm: see above; a registry other than npm's own is set in your npm configuration (npm config set registry URL)",
    );
  return bin;
}

/** Installs the workspace unless the lock file and manifests are those of the last time. */
function ensureWorkspace(pnpmBin) {
  const hash = createHash("sha256");
  for (const file of ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"])
    hash.update(readFileSync(join(root, file)));
  const stamp = join(root, "node_modules/.keelson-stamp");
  const want = hash.digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === want) return;
  say("installing npm packages (Node itself among them; a minute the first time)");
  const status = run(join(pnpmBin, "pnpm"), [
    "install",
    "--frozen-lockfile",
    process.stderr.isTTY ? "--reporter=default" : "--reporter=append-only",
  ]);
  if (status !== 0) fail("pnpm could not install the workspace: see above");
  writeFileSync(stamp, want);
}

/** Debian packages that are missing: installed as root, otherwise named in one line. */
function ensureDebianPackages(names) {
  if (names.length === 0 || process.platform !== "linux" || !existsSync("/usr/bin/dpkg-query")) return;
  const query = spawnSync("dpkg-query", ["-W", "-f", "${db:Status-Abbrev}${Package}\n", ...names], {
    encoding: "utf8",
  });
  const present = new Set(
    query.stdout
      .split("\n")
      .filter((line) => line.startsWith("ii"))
      .map((line) => line.slice(3).trim()),
  );
  const missing = names.filter((name) => !present.has(name));
  if (missing.length === 0) return;
  if (process.getuid() !== 0) {
    say(`not root, so going on without: sudo apt-get install ${missing.join(" ")}`);
    return;
  }
  say(`installing Debian packages: ${missing.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["-q", "update"], { env });
  if (run("apt-get", ["-q", "-y", "install", "--no-install-recommends", ...missing], { env }) !== 0) {
    say("apt-get failed, so going on without; what needs these packages says so");
  }
}

if (Number(process.versions.node.split(".")[0]) < 20)
  fail(`this is Node ${process.versions.node}: install Node 20 or newer`);
const pnpmBin = ensurePnpm();
ensureWorkspace(pnpmBin);
ensureDebianPackages(PACKAGES[command] ?? []);

const nodeBin = dirname(createRequire(join(root, "package.json")).resolve("node/package.json")) + "/bin";
const script = command === "keelson" ? join(root, "apps/keelson/src/main.ts") : join(root, `scripts/${command}.ts`);
if (!existsSync(script)) fail(`there is no command ${command}: try start, test, check, sim, build, gen or keelson`);
const env = { ...process.env, PATH: [nodeBin, join(root, "node_modules/.bin"), pnpmBin, process.env.PATH].join(":") };
// npm's own variables would change what the tools below do.
for (const key of Object.keys(env))
  if (/^npm_(?!config_(registry|proxy|https_proxy|cafile)$)/.test(key)) delete env[key];

// The child gets the terminal and its signals; this process only passes its end on.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
const { spawn } = await import("node:child_process");
const child = spawn(join(nodeBin, "node"), [script, ...args], {
  cwd: process.env.INIT_CWD && command === "keelson" ? process.env.INIT_CWD : root,
  stdio: "inherit",
  env,
});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => process.exit(signal ? 128 + 15 : (code ?? 1)));
