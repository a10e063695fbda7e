import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import type { TempDir } from "@keelson/testkit";
import { formatErrorChain } from "@keelson/types";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Checksum,
  encodeCommit,
  encodeDirMeta,
  encodeDirTree,
  encodeZlibFileHeader,
  fsck,
  generateKeys,
  initRepo,
  type PullOptions,
  pull,
  type Repo,
  S_IFDIR,
  S_IFREG,
  signCommit,
} from "../src/index.ts";
import { commitFiles } from "./support/commit-files.ts";
import { fastDir } from "./support/fast-dir.ts";
import { type Fault, type StaticServer, serveStatic } from "./support/static-server.ts";

const keys = generateKeys();
const REF = "os/stable";
/** A file whose object is cut and resumed: too large to arrive in one piece. */
const BIG = randomBytes(5 * 512 * 1024);

const HEADER = { uid: 0, gid: 0, mode: S_IFREG | 0o644, symlinkTarget: "", xattrs: [] };

let dir: TempDir;
let remote: Repo;
let commit: Checksum;
let count = 0;

beforeAll(async () => {
  dir = await fastDir("pull-hostile");
  remote = await initRepo(dir.join("remote"), { mode: "archive" });
  const files = {
    "usr/bin/a": "the program\n".repeat(50),
    "usr/lib/b": "-> a",
    "usr/big": BIG,
    "usr/etc/conf": "x=1\n",
  };
  commit = await commitFiles(remote, files, { ref: REF, timestamp: 2_000 });
  await signCommit(remote, commit, keys.privateKey);
});

afterAll(async () => await dir[Symbol.asyncDispose]());

async function freshRepo(): Promise<Repo> {
  return await initRepo(dir.join(`dst${count++}`), {
    mode: "bare",
    config: { core: { "min-free-space-percent": "0" } },
  });
}

function options(server: StaticServer, more: Partial<PullOptions> = {}): PullOptions {
  return {
    url: server.url,
    ref: REF,
    remote: "up",
    publicKeys: [keys.publicKey],
    retries: 2,
    retryDelayMs: 1,
    ...more,
  };
}

/** For servers that drip or hang. */
const IMPATIENT = { speed: { idleMs: 300 }, retries: 1 };

/** The path of an object on the server. */
function objectOf(type: "filez" | "dirtree" | "commit", server: StaticServer): string {
  const path = server.requests.find((request) => request.endsWith(`.${type}`));
  if (path === undefined) throw new Error(`no ${type} was asked for`);
  return path;
}

/** Pulls from a server with a fault, which must be refused, then again without, which must succeed. */
async function refused(
  fault: Fault,
  more: Partial<PullOptions> = {},
): Promise<{ error: Record<string, unknown>; server: StaticServer }> {
  const repo = await freshRepo();
  const server = await serveStatic(remote.path, fault);
  try {
    const error = await pull(repo, options(server, more)).then(
      (result) => expect.fail(`it was taken: ${JSON.stringify(result)}`),
      (reason: unknown) => ({ ...(reason as Record<string, unknown>), message: formatErrorChain(reason) }),
    );
    await expectNothingVisible(repo);
    const asked = [...server.requests];
    server.fault = undefined;
    await pull(repo, options(server));
    expect(await repo.resolve(`up:${REF}`)).toBe(commit);
    expect((await fsck(repo)).ok).toBe(true);
    server.requests.splice(0, server.requests.length, ...asked);
    return { error, server };
  } finally {
    await server[Symbol.asyncDispose]();
  }
}

async function expectNothingVisible(repo: Repo): Promise<void> {
  expect(await repo.refs()).toEqual(new Map());
  expect(!(await repo.has("commit", commit)) || (await repo.isPartial(commit))).toBe(true);
  expect((await fsck(repo)).ok).toBe(true);
}

/** Answers the first matching path, or all of them, with a body of its own. */
function answer(pattern: RegExp, reply: (path: string, response: ServerResponse) => void | Promise<void>): Fault {
  return async (path, _request, response) => {
    if (!pattern.test(path)) return false;
    await reply(path, response);
    return true;
  };
}

const file = (path: string) => readFileSync(join(remote.path, path));

describe("a server that", () => {
  it("changes a byte of a file object is refused, naming the object", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => {
        const bytes = file(path);
        bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 0x55;
        response.end(bytes);
      }),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_OBJECT" });
    expect(error["message"]).toMatch(
      /^refused http:\/\/127\.0\.0\.1:\d+\/objects\/..\/.*\.filez: .*; the server's copy is damaged or forged/,
    );
  });

  it("gives one object for another is refused", async () => {
    const other = deflateRawSync("other");
    const head = encodeZlibFileHeader(HEADER, 5);
    const { error } = await refused(
      answer(/\.filez$/, (_path, response) => void response.end(Buffer.concat([head, other]))),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_OBJECT", message: expect.stringContaining("checksum") });
  });

  it("gives a wrong directory is refused", async () => {
    const { error } = await refused(
      answer(/\.dirtree$/, (_path, response) => void response.end(encodeDirTree({ files: [], dirs: [] }))),
    );
    expect(error).toMatchObject({
      code: "ERR_OSTREE_BAD_OBJECT",
      message: expect.stringContaining(".dirtree: its checksum is"),
    });
  });

  it("heals is asked again for a damaged object, past any cache", async () => {
    let damaged = 0;
    const server = await serveStatic(
      remote.path,
      answer(/\.filez$/, (path, response) => {
        const bytes = file(path);
        if (damaged++ === 0) bytes[12] = (bytes[12] ?? 0) ^ 1;
        response.end(bytes);
      }),
    );
    await using _server = server;
    const repo = await freshRepo();
    expect((await pull(repo, options(server, { parallel: 1 }))).commit).toBe(commit);
    const again = server.headers.filter((header) => header["cache-control"] === "no-cache");
    expect(again).toHaveLength(1);
  });

  it("truncates an object is refused", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => {
        const bytes = file(path);
        response.end(bytes.subarray(0, bytes.length - 10));
      }),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_OBJECT", message: expect.stringMatching(/cut short|damaged/) });
  });

  it("truncates an object in its header is refused", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => void response.end(file(path).subarray(0, 20))),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_OBJECT", message: expect.stringContaining("cut short") });
  });

  it("promises more bytes than it sends is refused after some tries", async () => {
    const { error } = await refused(
      answer(/\.dirtree$/, (path, response) => {
        const bytes = file(path);
        response.writeHead(200, { "content-length": bytes.length + 100 }).write(bytes);
        setImmediate(() => response.destroy());
      }),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "truncated" });
    expect(error["message"]).toContain("tried 3 times");
  });

  it("promises fewer bytes than it sends is refused", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => {
        const bytes = file(path);
        response.socket?.end(Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n"), bytes]));
      }),
    );
    expect(["ERR_OSTREE_BAD_OBJECT", "ERR_OSTREE_FETCH"]).toContain(error["code"]);
  });

  it("never ends a directory is refused after 16 MiB", async () => {
    const { error } = await refused(answer(/\.dirtree$/, endless));
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "too-large" });
  });

  it("never ends a file object is refused", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => {
        response.write(file(path).subarray(0, 60));
        endless(path, response);
      }),
    );
    expect(["ERR_OSTREE_BAD_OBJECT", "ERR_OSTREE_FETCH"]).toContain(error["code"]);
  });

  it("never ends its summary or ref is refused", async () => {
    const { error } = await refused(answer(/^(summary|refs\/)/, endless));
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "too-large" });
  });

  it("says that an object is huge is refused before it is fetched", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => {
        response.write(encodeZlibFileHeader(HEADER, 2 ** 40));
        endless(path, response);
      }),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "too-large" });
  });

  it("sends a bomb that inflates to more than it says is refused", async () => {
    const bomb = deflateRawSync(Buffer.alloc(64 * 1024 * 1024));
    const { error } = await refused(
      answer(/\.filez$/, (_path, response) => {
        response.end(Buffer.concat([encodeZlibFileHeader(HEADER, 1_000), bomb]));
      }),
    );
    expect(["ERR_OSTREE_BAD_OBJECT", "ERR_OSTREE_FETCH"]).toContain(error["code"]);
  });

  it("drips is refused as too slow", async () => {
    const { error } = await refused(
      answer(/\.filez$/, (path, response) => {
        const bytes = file(path);
        response.writeHead(200, { "content-length": bytes.length });
        let at = 0;
        const timer = setInterval(() => response.write(bytes.subarray(at, ++at)), 20);
        response.once("close", () => clearInterval(timer));
      }),
      { ...IMPATIENT, speed: { idleMs: 30_000, windowMs: 200, bytesPerSecondMin: 1_000 } },
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "too-slow" });
  });

  it("stops in the middle is refused as dead", async () => {
    const { error } = await refused(
      answer(
        /\.filez$/,
        (path, response) => void response.writeHead(200, { "content-length": file(path).length }).write("x"),
      ),
      IMPATIENT,
    );
    expect(error).toMatchObject({
      code: "ERR_OSTREE_FETCH",
      problem: "timeout",
      message: expect.stringContaining("no byte arrived for 300 ms"),
    });
  });

  it("never answers is refused as dead", async () => {
    const { error } = await refused(
      answer(/\.commit$/, () => {}),
      IMPATIENT,
    );
    expect(error).toMatchObject({
      code: "ERR_OSTREE_FETCH",
      problem: "timeout",
      message: expect.stringContaining("no answer within 300 ms"),
    });
  });

  it("fails with status 500 is refused after some tries", async () => {
    const { error, server } = await refused(
      answer(/\.dirtree$/, (_path, response) => void response.writeHead(500).end("oops")),
    );
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "status" });
    expect(error["message"]).toMatch(/the server answered with status 500 \(tried 3 times\)/);
    expect(server.requests.filter((path) => path === objectOf("dirtree", server))).toHaveLength(3);
  });

  it("fails with status 403 is refused at once", async () => {
    const { error, server } = await refused(
      answer(/\.commit$/, (_path, response) => void response.writeHead(403).end()),
    );
    expect(error["message"]).toContain("status 403;");
    expect(server.requests.filter((path) => path.endsWith(".commit"))).toHaveLength(1);
  });

  it("lacks an object is refused", async () => {
    const { error } = await refused(answer(/\.filez$/, (_path, response) => void response.writeHead(404).end()));
    expect(error).toMatchObject({
      code: "ERR_OSTREE_FETCH",
      problem: "missing",
      message: expect.stringContaining("publish the commit again"),
    });
  });

  it("fails twice and then works is enough", async () => {
    const failures = new Map<string, number>();
    await using server = await serveStatic(remote.path, (path, _request, response) => {
      const before = failures.get(path) ?? 0;
      failures.set(path, before + 1);
      if (before >= 2) return false;
      if (before === 0) response.destroy();
      else response.writeHead(503, { "retry-after": "0" }).end();
      return true;
    });
    const result = await pull(await freshRepo(), options(server));
    expect(result.commit).toBe(commit);
  });

  it("is not there is refused, with what to do", async () => {
    const repo = await freshRepo();
    const server = await serveStatic(remote.path);
    await server[Symbol.asyncDispose]();
    const attempt = pull(repo, options(server));
    await expect(attempt).rejects.toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "unreachable" });
    await expect(attempt).rejects.toThrow(
      /^cannot fetch http:\/\/127\.0\.0\.1:\d+\/config: no connection \(ECONNREFUSED\) \(tried 3 times\); check that the server runs/,
    );
  });
});

function endless(_path: string, response: ServerResponse): void {
  const piece = randomBytes(256 * 1024);
  const more = () => {
    while (!response.destroyed && response.write(piece));
    if (!response.destroyed) response.once("drain", more);
  };
  more();
}

describe("redirects", () => {
  const redirect = (to: string): Fault =>
    answer(/\.commit$/, (path, response) => void response.writeHead(302, { location: `${to}${path}` }).end());

  it("to the same host are followed, a loop is not", async () => {
    const { error } = await refused(
      answer(/\.commit$/, (path, response) => void response.writeHead(302, { location: `/${path}` }).end()),
    );
    expect(error).toMatchObject({
      code: "ERR_OSTREE_FETCH",
      problem: "redirect",
      message: expect.stringContaining("more than 5 redirects"),
    });
  });

  it("to another host are followed without credentials only", async () => {
    await using other = await serveStatic(remote.path);
    await using server = await serveStatic(remote.path, redirect(other.url));
    await pull(await freshRepo(), options(server));
    expect(other.requests).toHaveLength(1);

    const withPassword = `http://me:secret@127.0.0.1:${server.port}/`;
    for (const more of [{ url: withPassword }, { headers: { authorization: "Bearer secret" } }]) {
      const attempt = pull(await freshRepo(), options(server, more));
      await expect(attempt).rejects.toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "redirect" });
      await expect(attempt).rejects.not.toThrow(/secret/);
    }
    expect(other.requests).toHaveLength(1);
    expect(server.headers.at(-1)?.authorization).toBe("Bearer secret");
  });

  it("to something else than HTTP are refused", async () => {
    const { error } = await refused(redirect("file:///etc/"));
    expect(error).toMatchObject({ code: "ERR_OSTREE_FETCH", problem: "redirect" });
  });
});

describe("trust", () => {
  const treeRequests = (server: StaticServer) =>
    server.requests.filter((path) => /\.(dirtree|dirmeta|filez)$/.test(path));

  it.each<[string, Partial<PullOptions>, string, RegExp]>([
    [
      "another key",
      { publicKeys: [generateKeys().publicKey] },
      "ERR_OSTREE_BAD_SIGNATURE",
      /none of its 1 signatures is by one of the 1 trusted keys/,
    ],
    ["a revoked key", { revokedKeys: [keys.publicKey] }, "ERR_OSTREE_BAD_SIGNATURE", /revoked/],
    ["no key at all", { publicKeys: [] }, "ERR_OSTREE_BAD_SIGNATURE", /no public key is configured/],
    [
      "a newer commit here",
      { notBefore: 2_001 },
      "ERR_OSTREE_DOWNGRADE",
      /of 1970-01-01T00:33:20.000Z, older than 1970-01-01T00:33:21.000Z/,
    ],
  ])("with %s nothing of the tree is fetched", async (_title, more, code, message) => {
    const { error, server } = await refused(() => false, more);
    expect(error).toMatchObject({ code });
    expect(error["message"]).toMatch(message);
    expect(treeRequests(server)).toEqual([]);
  });

  it("refuses a commit whose signatures are withheld or of another commit", async () => {
    const other = await commitFiles(remote, { x: "y" });
    await signCommit(remote, other, keys.privateKey);
    const wrong = readFileSync(remote.objectPath("commitmeta", other));
    for (const fault of [
      answer(/\.commitmeta$/, (_path, response) => void response.writeHead(404).end()),
      answer(/\.commitmeta$/, (_path, response) => void response.end(wrong)),
      answer(/\.commitmeta$/, (_path, response) => void response.end("garbage")),
    ]) {
      const { error, server } = await refused(fault);
      expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_SIGNATURE" });
      expect(treeRequests(server)).toEqual([]);
    }
  });

  it("refuses a signed commit that was made for another branch", async () => {
    const other = await commitFiles(
      remote,
      { x: "testing" },
      {
        metadata: [["ostree.ref-binding", { type: "as", value: ["os/testing"] }]],
      },
    );
    await signCommit(remote, other, keys.privateKey);
    const { error } = await refused(
      answer(/^(summary$|refs\/heads\/)/, (path, response) => {
        if (path === "summary") response.writeHead(404).end();
        else response.end(`${other}\n`);
      }),
    );
    expect(error).toMatchObject({
      code: "ERR_OSTREE_BAD_REF",
      message: expect.stringContaining("made for os/testing, not for os/stable"),
    });
  });

  it.each([["../escape"], [".."], ["a/b"], [""]])("refuses a signed tree with a file named %j", async (name) => {
    const bad = await initRepo(dir.join(`bad${count++}`), { mode: "archive" });
    const checksum = await commitFiles(bad, { x: "y" });
    const tree = encodeDirTree({ files: [[name, checksum]], dirs: [] });
    const meta = encodeDirMeta({ uid: 0, gid: 0, mode: S_IFDIR | 0o755, xattrs: [] });
    const { sha256 } = await import("../src/index.ts");
    const bytes = encodeCommit({
      metadata: [],
      related: [],
      subject: "",
      body: "",
      timestamp: 1,
      rootTree: sha256(tree),
      rootMeta: sha256(meta),
    });
    const objects = new Map([
      [`${sha256(bytes)}.commit`, bytes],
      [`${sha256(tree)}.dirtree`, tree],
      [`${sha256(meta)}.dirmeta`, meta],
    ]);
    await using server = await serveStatic(
      bad.path,
      answer(/^objects\/.*(commit|dirtree|dirmeta)$/, (path, response) => {
        const found = objects.get(path.slice("objects/".length).replace("/", ""));
        if (found === undefined) response.writeHead(404).end();
        else response.end(found);
      }),
    );
    const repo = await freshRepo();
    const { ref: _, ...rest } = options(server);
    const attempt = pull(repo, { ...rest, commit: sha256(bytes), allowUnsigned: true, publicKeys: [] });
    await expect(attempt).rejects.toMatchObject({
      code: "ERR_OSTREE_BAD_OBJECT",
      cause: { message: expect.stringContaining("not a file name") },
    });
    expect(await repo.refs()).toEqual(new Map());
  });
});

describe("what is no repository is refused", () => {
  it.each<[string, Fault, RegExp]>([
    [
      "no config",
      answer(/^config$/, (_path, response) => void response.writeHead(404).end()),
      /no repository at .*check the URL/,
    ],
    [
      "a bare one",
      answer(/^config$/, (_path, response) => void response.end("[core]\nrepo_version=1\nmode=bare\n")),
      /only archive repositories can be served/,
    ],
    [
      "a web page",
      answer(/^config$/, (_path, response) => void response.end("<html>")),
      /no repository that can be pulled from/,
    ],
    ["a summary of garbage", answer(/^summary$/, (_path, response) => void response.end("garbage")), /is no summary/],
  ])("%s", async (_title, fault, message) => {
    const { error } = await refused(fault);
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_REMOTE" });
    expect(error["message"]).toMatch(message);
  });

  it("a ref that is not there", async () => {
    const { error } = await refused(() => false, { ref: "os/none" });
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_REF", message: expect.stringContaining("has no ref os/none") });
  });
});

describe("a large object, which is verified while it streams", () => {
  it.each<[string, (bytes: Buffer) => Uint8Array, RegExp]>([
    ["changed", (bytes) => bytes.fill(1, 1_000_000, 1_000_001), /checksum|damaged/],
    ["cut short", (bytes) => bytes.subarray(0, bytes.length - 1_000), /cut short|damaged/],
    [
      "swapped",
      () => Buffer.concat([encodeZlibFileHeader(HEADER, BIG.length), deflateRawSync(randomBytes(BIG.length))]),
      /checksum/,
    ],
  ])("is refused when it is %s", async (_title, change, message) => {
    const large = await commitFiles(remote, { "usr/big": BIG }, { ref: REF });
    await signCommit(remote, large, keys.privateKey);
    await using server = await serveStatic(
      remote.path,
      answer(/\.filez$/, (path, response) => void response.end(change(file(path)))),
    );
    const repo = await freshRepo();
    const error = await pull(repo, options(server)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_OSTREE_BAD_OBJECT" });
    expect(formatErrorChain(error)).toMatch(message);
    expect(await repo.refs()).toEqual(new Map());
    server.fault = undefined;
    expect((await pull(repo, options(server))).commit).toBe(large);
    await using tx = await remote.transaction();
    tx.setRef(REF, commit);
    await tx.commit();
  });
});

describe("a pull that is cut off", () => {
  it("resumes a large object where it broke, with a range", async () => {
    const large = await commitFiles(remote, { "usr/big": BIG });
    await signCommit(remote, large, keys.privateKey);
    let cuts = 0;
    await using server = await serveStatic(remote.path, (path, request, response) => {
      const bytes = path.endsWith(".filez") ? file(path) : undefined;
      if (bytes === undefined || bytes.length < 1024 * 1024 || cuts >= 2) return false;
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      cuts++;
      response.writeHead(start > 0 ? 206 : 200, {
        "content-length": bytes.length - start,
        ...(start > 0 && { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
      });
      response.write(bytes.subarray(start, start + 1024 * 1024), () => response.destroy());
      return true;
    });
    const result = await pull(await freshRepo(), options(server, { commit: large }));
    expect(result.commit).toBe(large);
    expect(server.headers.filter((header) => header.range !== undefined)).toHaveLength(2);
    // Nothing was fetched twice, but for what was under way in a closed connection.
    expect(result.bytesTransferred).toBeLessThan(BIG.length + 512 * 1024);
  });

  it("begins again where the server has no ranges, or none from there", async () => {
    for (const status of [200, 416]) {
      const large = await commitFiles(remote, { "usr/big": BIG });
      await signCommit(remote, large, keys.privateKey);
      let asked = 0;
      await using server = await serveStatic(remote.path, (path, request, response) => {
        const bytes = path.endsWith(".filez") ? file(path) : undefined;
        if (bytes === undefined || bytes.length < 1024 * 1024) return false;
        if (asked++ === 0) response.writeHead(200).write(bytes.subarray(0, 1_500_000), () => response.destroy());
        else if (request.headers.range !== undefined && status === 416) response.writeHead(416).end();
        else response.writeHead(200).end(bytes);
        return true;
      });
      expect((await pull(await freshRepo(), options(server, { commit: large }))).commit).toBe(large);
      expect(asked).toBe(status === 416 ? 3 : 2);
    }
  });

  it("does not fetch again what arrived", async () => {
    const repo = await freshRepo();
    let allowed = 5;
    await using server = await serveStatic(remote.path, (path, _request, response) => {
      if (!path.startsWith("objects/") || allowed-- > 0) return false;
      response.writeHead(403).end();
      return true;
    });
    await expect(pull(repo, options(server, { parallel: 1 }))).rejects.toMatchObject({ problem: "status" });
    const first = new Set(server.requests.filter((path) => /dirtree|dirmeta|filez/.test(path)).slice(0, 3));
    server.fault = undefined;
    server.requests.length = 0;
    expect((await pull(repo, options(server))).wasComplete).toBe(false);
    for (const path of first) expect(server.requests).not.toContain(path);
    expect((await pull(repo, options(server))).wasComplete).toBe(true);
  });

  it("ends with the signal's reason", async () => {
    const stop = new AbortController();
    await using server = await serveStatic(remote.path, (path) => {
      if (path.endsWith(".dirtree")) stop.abort(new Error("enough"));
      return false;
    });
    await expect(pull(await freshRepo(), options(server, { signal: stop.signal }))).rejects.toThrow("enough");
  });
});
