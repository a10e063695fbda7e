import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { runProcess, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { sealSuperblock } from "../src/index.ts";
import { buildLayer } from "../src/testing/index.ts";

// The kernel and erofs-utils are the judges of our images, GNU tar of what is in them.

const LISTING = `{ find . -printf '%p %y %m %U:%G %n %l %T@ %s\\n' | sed '/ d /s/ [0-9]*$//'; find . -type f -exec sha256sum {} +; } | sort`;

function makeTree(dir: string): void {
  const script = `
    set -eu
    mkdir -p d/e/f many "spaces and ünïcode" "$(printf 'long%.0s' $(seq 1 50))/$(printf 'name%.0s' $(seq 1 50))"
    printf hello > d/file; ln d/file d/e/hard; ln -s ../file d/e/soft; ln -s /absolute/target d/abs
    ln -s "$(printf 'x%.0s' $(seq 1 3000))" d/longlink
    head -c 4096 /dev/urandom > exact; head -c 1048577 /dev/urandom > big; : > empty
    for i in $(seq 1 400); do echo $i > "many/file number $i with some length to fill blocks"; done
    mkfifo fifo; chmod 4755 exact; chmod 1777 d/e/f; chmod 0 empty; chown 1000:2000 d; chown 4000000000:4000000001 big
    touch -d '1969-12-31 23:59:58.5 UTC' exact; touch -d '2100-01-01 UTC' d/file; touch -h -d '2001-02-03 04:05:06.789 UTC' d/abs
    printf 'x' > "$(printf 'bytes\\377')"
  `;
  execFileSync("sh", ["-c", script], { cwd: dir });
}

it.each(["gnu", "pax", "oldgnu"])("an image of a tar in format %s is what tar extracts", async (format) => {
  await using dir = await tempDir("erofs");
  for (const name of ["tree", "out", "mnt"]) mkdirSync(dir.join(name));
  makeTree(dir.join("tree"));
  execFileSync("tar", [
    "-C",
    dir.join("tree"),
    `--format=${format}`,
    "--numeric-owner",
    "-cf",
    dir.join("layer.tar"),
    ".",
  ]);
  const { bytes } = buildLayer(await readFile(dir.join("layer.tar")), {}, 10_007);
  sealSuperblock(bytes.subarray(0, 4096), new Uint8Array(16).fill(1));
  writeFileSync(dir.join("layer.erofs"), bytes);

  const fsck = await runProcess("fsck.erofs", [dir.join("layer.erofs")]);
  expect(`${fsck.code} ${fsck.stdout}${fsck.stderr}`).toMatch(/^0 /);

  const script = `
    set -eu
    tar --numeric-owner --warning=no-timestamp -xpf layer.tar -C out
    mount -t erofs -o ro,loop layer.erofs mnt
    (cd out && ${LISTING}) > want; (cd mnt && ${LISTING}) > found
    find mnt -maxdepth 1 | wc -l
  `;
  const compared = await runProcess("unshare", ["-m", "sh", "-c", script], { cwd: dir.path });
  expect(compared.stderr + compared.code).toBe("0");
  const [want, found] = [await readFile(dir.join("want"), "latin1"), await readFile(dir.join("found"), "latin1")];
  expect(want.split("\n").length).toBeGreaterThan(410);
  expect(found).toBe(want);
});

it("the kernel reads extended attributes as they were, but for those that are dropped", async () => {
  await using dir = await tempDir("xattrs");
  for (const name of ["tree/d", "mnt"]) mkdirSync(dir.join(name), { recursive: true });
  for (const name of ["small", "page"])
    await writeFile(dir.join(`tree/d/${name}`), "x".repeat(name === "small" ? 3 : 4_096));
  const set = `
import os
for path in ("d", "d/small", "d/page"):
    os.setxattr("tree/" + path, "user.text", b"some value")
    os.setxattr("tree/" + path, "user.bytes", bytes(range(256)) * 3)
    os.setxattr("tree/" + path, "user.empty", b"")
    os.setxattr("tree/" + path, "trusted.overlay.redirect", b"/etc")
os.setxattr("tree/d/page", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))`;
  execFileSync("python3", ["-c", set], { cwd: dir.path });
  execFileSync("tar", [
    "-C",
    dir.join("tree"),
    "--format=pax",
    "--xattrs",
    "--xattrs-include=*",
    "-cf",
    dir.join("layer.tar"),
    ".",
  ]);
  const { bytes, stats } = buildLayer(await readFile(dir.join("layer.tar")));
  expect(stats.dropped).toBe(3);
  sealSuperblock(bytes.subarray(0, 4096), new Uint8Array(16));
  await writeFile(dir.join("layer.erofs"), bytes);
  const get = `
import os
for path in ("d", "d/small", "d/page"):
    print(path, {name: len(os.getxattr("mnt/" + path, name)) for name in sorted(os.listxattr("mnt/" + path))})
    assert os.getxattr("mnt/" + path, "user.bytes") == bytes(range(256)) * 3
print(open("mnt/d/small").read(), len(open("mnt/d/page").read()))`;
  const script = `set -eu; mount -t erofs -o ro,loop layer.erofs mnt; python3 -c '${get}'`;
  const result = await runProcess("unshare", ["-m", "sh", "-c", script], { cwd: dir.path });
  const user = "'user.bytes': 768, 'user.empty': 0, 'user.text': 10";
  expect(result.stderr + result.stdout).toBe(
    `d {${user}}\nd/small {${user}}\nd/page {'security.capability': 20, ${user}}\nxxx 4096\n`,
  );
});

it("overlayfs takes our whiteouts and opaque directories for its own", async () => {
  await using dir = await tempDir("overlay");
  for (const name of ["lower/d", "lower/o", "upper/d", "upper/o", "m0", "m1", "all"])
    mkdirSync(dir.join(name), { recursive: true });
  for (const name of [
    "lower/d/gone",
    "lower/d/stays",
    "lower/o/old",
    "lower/top",
    "upper/d/.wh.gone",
    "upper/.wh.top",
    "upper/o/.wh..wh..opq",
    "upper/o/new",
  ]) {
    await writeFile(dir.join(name), name);
  }
  for (const [i, name] of ["lower", "upper"].entries()) {
    execFileSync("tar", ["-C", dir.join(name), "-cf", dir.join(`${i}.tar`), "."]);
    const { bytes } = buildLayer(await readFile(dir.join(`${i}.tar`)));
    sealSuperblock(bytes.subarray(0, 4096), new Uint8Array(16));
    await writeFile(dir.join(`${i}.erofs`), bytes);
  }
  const script = `set -eu
    for i in 0 1; do mount -t erofs -o ro,loop $i.erofs m$i; done
    mount -t overlay -o ro,lowerdir=m1:m0 overlay all
    cd all; find . -type f | sort`;
  const result = await runProcess("unshare", ["-m", "sh", "-c", script], { cwd: dir.path });
  expect(result.stderr + result.stdout).toBe("./d/stays\n./o/new\n");
});
