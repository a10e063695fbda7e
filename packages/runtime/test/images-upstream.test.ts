import { readFile, writeFile } from "node:fs/promises";
import { runProcess, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { loadCredentials, readImageFile, type StoredImage } from "../src/image/index.ts";
import { snapshot, testStore } from "./images/store-helpers.ts";
import { LISTING, makeUmociImage, must, PASSWORD, startDockerRegistry, startTokenServer } from "./images/upstream.ts";

// Upstream's own tools make the images, serve them, and say what is in them.

/** The image's files as overlayfs shows them over our layers, next to a directory. Returns both listings. */
async function compare(
  image: StoredImage,
  directory: string,
  scratch: string,
): Promise<[ours: string, theirs: string]> {
  const mounts = image.layers
    .map(({ erofsPath }, i) => `mkdir -p l${i}; mount -t erofs -o ro,loop ${erofsPath} l${i}`)
    .join("\n");
  const lower = image.layers.map((_, i) => `l${i}`).reverse();
  const view =
    lower.length === 1 ? "mount --bind l0 all" : `mount -t overlay -o ro,lowerdir=${lower.join(":")} overlay all`;
  const script = `set -eu; mkdir -p all\n${mounts}\n${view}\n(cd all; ${LISTING}) > ours; (cd ${directory}; ${LISTING}) > theirs`;
  const result = await runProcess("unshare", ["-m", "sh", "-c", script], { cwd: scratch });
  expect(result.stderr + result.code).toBe("0");
  return [await readFile(`${scratch}/ours`, "latin1"), await readFile(`${scratch}/theirs`, "latin1")];
}

it("an image of umoci is in our layers what umoci unpacks", async () => {
  await using dir = await tempDir("umoci");
  await makeUmociImage(dir.path);
  using opened = await testStore(dir.join("store"));
  const [image] = await opened.store.importLayout(dir.join("layout"), { name: "umoci-made" });
  expect(image).toMatchObject({
    names: ["docker.io/library/umoci-made:v1"],
    config: { run: { user: "web", entrypoint: ["/bin/sh"] } },
  });
  if (image === undefined) throw new Error("no image");
  await must("umoci", ["unpack", "--image", "layout:v1", "bundle"], dir.path);
  const [ours, theirs] = await compare(image, dir.join("bundle/rootfs"), dir.path);
  expect(ours.split("\n").length).toBeGreaterThan(600);
  expect(ours).toBe(theirs);
  const paths = image.layers.map((layer) => layer.erofsPath);
  expect(Buffer.from(readImageFile(paths, "/abs") ?? "").toString()).toMatch(/^root:x/);
  expect(readImageFile(paths, "/gone/deep/x")).toBe(undefined);
  for (const path of paths) expect((await runProcess("fsck.erofs", [path])).code).toBe(0);
});

it("pulls from docker-registry: anonymously, with basic auth, with its tokens; gzip and zstd", async () => {
  await using dir = await tempDir("registry");
  await makeUmociImage(dir.path);
  const push = async (host: string, more: readonly string[]) =>
    await must(
      "skopeo",
      [
        "copy",
        "-q",
        "--dest-tls-verify=false",
        ...more,
        `oci:${dir.join("layout")}:v1`,
        `docker://${host}/team/app:v1`,
      ],
      dir.path,
    );
  await writeFile(dir.join("auth.json"), "{}");

  await using plain = await startDockerRegistry(dir.path);
  await push(plain.host, []);
  using anonymous = await testStore(dir.join("one"));
  const image = await anonymous.store.pull(`${plain.host}/team/app:v1`);
  await must("skopeo", [
    "copy",
    "-q",
    "--dest-tls-verify=false",
    "--dest-compress-format=zstd",
    `oci:${dir.join("layout")}:v1`,
    `docker://${plain.host}/z/app:v1`,
  ]);
  using zstd = await testStore(dir.join("two"));
  const zstdImage = await zstd.store.pull(`${plain.host}/z/app:v1`);
  // However it was packed, a layer is the same file.
  expect(await layers(dir.join("two"))).toEqual(await layers(dir.join("one")));
  expect(zstdImage.layers.map((l) => l.diffId)).toEqual(image.layers.map((l) => l.diffId));
  await plain.process[Symbol.asyncDispose]();

  await using basic = await startDockerRegistry(dir.path, "basic");
  const auth = Buffer.from(`web:${PASSWORD}`).toString("base64");
  await writeFile(dir.join("auth.json"), JSON.stringify({ auths: { [basic.host]: { auth } } }));
  using known = await testStore(dir.join("three"), {
    credentials: await loadCredentials({ authFiles: [dir.join("auth.json")] }),
  });
  expect((await known.store.pull(`${basic.host}/team/app:v1`)).id).toBe(image.id);
  await expect(anonymous.store.pull(`${basic.host}/team/app:v1`)).rejects.toMatchObject({ problem: "unauthorized" });
  await writeFile(
    dir.join("auth.json"),
    JSON.stringify({ auths: { [basic.host]: { auth: Buffer.from("web:wrong").toString("base64") } } }),
  );
  using wrong = await testStore(dir.join("four"), {
    credentials: await loadCredentials({ authFiles: [dir.join("auth.json")] }),
  });
  await expect(wrong.store.pull(`${basic.host}/team/app:v1`)).rejects.toMatchObject({ problem: "unauthorized" });
  await basic.process[Symbol.asyncDispose]();

  await using tokens = await startTokenServer(dir.path);
  await using bearer = await startDockerRegistry(dir.path, tokens);
  using fifth = await testStore(dir.join("five"));
  expect((await fifth.store.pull(`${bearer.host}/team/app:v1`)).id).toBe(image.id);
  expect(tokens.seen).toEqual([undefined]);
  await writeFile(dir.join("auth.json"), JSON.stringify({ auths: { [bearer.host]: { auth } } }));
  using sixth = await testStore(dir.join("six"), {
    credentials: await loadCredentials({ authFiles: [dir.join("auth.json")] }),
  });
  expect((await sixth.store.pull(`${bearer.host}/team/app@${image.manifestDigest}`)).id).toBe(image.id);
  expect(tokens.seen.slice(1)).toEqual([`Basic ${auth}`]);
});

async function layers(root: string): Promise<string[]> {
  return (await snapshot(root)).filter((line) => line.startsWith("/layers/"));
}

it("imports archives of skopeo and podman, and they are the image that podman has", async () => {
  await using dir = await tempDir("podman");
  await makeUmociImage(dir.path);
  await must(
    "skopeo",
    ["copy", "-q", `oci:${dir.join("layout")}:v1`, "oci-archive:skopeo.tar:quay.io/team/app:1"],
    dir.path,
  );
  await must(
    "skopeo",
    ["copy", "-q", `oci:${dir.join("layout")}:v1`, "docker-archive:docker.tar:team/app:2"],
    dir.path,
  );
  await must("gzip", ["-k", "docker.tar"], dir.path);
  const podman = async (...args: string[]) =>
    await must(
      "podman",
      ["--root", dir.join("p"), "--runroot", dir.join("r"), "--tmpdir", dir.join("t"), "--storage-driver=vfs", ...args],
      dir.path,
    );
  await podman("load", "-q", "-i", "skopeo.tar");
  const id = (await podman("images", "-q", "--no-trunc")).trim().split("\n")[0];
  await podman("save", "-q", "--format=docker-archive", "-o", "podman-docker.tar", "quay.io/team/app:1");
  await podman("save", "-q", "--format=oci-archive", "-o", "podman-oci.tar", "quay.io/team/app:1");

  const found: [string, string[]][] = [];
  const ids: unknown[] = [];
  let expected: string[] | undefined;
  for (const name of ["skopeo.tar", "docker.tar", "docker.tar.gz", "podman-docker.tar", "podman-oci.tar"]) {
    using opened = await testStore(dir.join(`store-${name}`));
    const [image] = await opened.store.importArchive(dir.join(name));
    found.push([name, [...(image?.names ?? [])]]);
    if (name === "skopeo.tar" || name === "podman-oci.tar") ids.push(image?.id);
    expected ??= await layers(dir.join(`store-${name}`));
    expect(await layers(dir.join(`store-${name}`))).toEqual(expected);
    expect(await opened.store.verify()).toEqual([]);
  }
  // The others have a config in docker's form, and so another id.
  expect(ids).toEqual([id, id]);
  expect(found).toEqual([
    ["skopeo.tar", ["quay.io/team/app:1"]],
    ["docker.tar", ["docker.io/team/app:2"]],
    ["docker.tar.gz", ["docker.io/team/app:2"]],
    ["podman-docker.tar", ["quay.io/team/app:1"]],
    ["podman-oci.tar", ["quay.io/team/app:1"]],
  ]);
});
