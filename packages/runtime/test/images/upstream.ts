import { createPrivateKey, createSign, randomUUID, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { eventually, freePort, type ProcessHandle, runProcess, startProcess } from "@keelson/testkit";

/** bcrypt of {@link PASSWORD}: the only kind that docker-registry reads. */
const HTPASSWD = "web:$2b$05$n56cYF9EStuXP9nVUve0.OqeU7p2bFjEiVvEjYWBiBLT2WlNHRolG\n";
export const PASSWORD = "s3cret-pass";

/** Debian's docker-registry on 127.0.0.1. */
export interface UpstreamRegistry extends AsyncDisposable {
  readonly host: string;
  readonly process: ProcessHandle;
}

/** Starts it. `auth` is a part of its configuration. */
export async function startDockerRegistry(
  dir: string,
  auth: "none" | "basic" | { readonly realm: string; readonly bundle: string } = "none",
): Promise<UpstreamRegistry> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  await writeFile(join(dir, "htpasswd"), HTPASSWD);
  const authText =
    auth === "none"
      ? ""
      : auth === "basic"
        ? `auth: {htpasswd: {realm: test, path: ${join(dir, "htpasswd")}}}\n`
        : `auth: {token: {realm: "${auth.realm}", service: registry, issuer: keelson-test, rootcertbundle: ${auth.bundle}}}\n`;
  const config = `version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: ${join(dir, "registry")}}}\nhttp: {addr: "${host}"}\n${authText}`;
  await writeFile(join(dir, "registry.yml"), config);
  const process = startProcess("docker-registry", ["serve", join(dir, "registry.yml")], { name: "docker-registry" });
  await eventually(async () => (await fetch(`http://${host}/v2/`)).status > 0, { what: "docker-registry answers" });
  return { host, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
}

/** A token server as docker-registry believes it: tokens signed with a key whose certificate is in the bundle. */
export interface TokenServer extends AsyncDisposable {
  readonly realm: string;
  readonly bundle: string;
  /** `Authorization` of each request. */
  readonly seen: (string | undefined)[];
}

/** Gives pull to everybody and push to `web`. */
export async function startTokenServer(dir: string): Promise<TokenServer> {
  const [keyPath, bundle] = [join(dir, "token.key"), join(dir, "token.crt")];
  const subject = ["-subj", "/CN=keelson-test", "-days", "2"];
  const made = await runProcess("openssl", [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    keyPath,
    "-out",
    bundle,
    ...subject,
  ]);
  if (made.code !== 0) throw new Error(made.stderr);
  const key = createPrivateKey(await readFile(keyPath));
  const certificate = new X509Certificate(await readFile(bundle)).raw.toString("base64");
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    seen.push(authorization);
    const isWeb = authorization === `Basic ${Buffer.from(`web:${PASSWORD}`).toString("base64")}`;
    if (authorization !== undefined && !isWeb) {
      response.writeHead(401).end();
      return;
    }
    const scopes = new URL(request.url ?? "", "http://x").searchParams
      .getAll("scope")
      .flatMap((scope) => scope.split(" "));
    const access = scopes
      .filter((s) => s !== "")
      .map((scope) => {
        const [type = "", ...rest] = scope.split(":");
        const actions = (rest.pop() ?? "").split(",").filter((action) => action === "pull" || isWeb);
        return { type, name: rest.join(":"), actions };
      });
    response.end(JSON.stringify({ token: sign(access), expires_in: 60 }));
  });
  const sign = (access: unknown): string => {
    const now = Math.floor(Date.now() / 1_000);
    const claims = {
      iss: "keelson-test",
      aud: "registry",
      sub: "x",
      exp: now + 60,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const text = [{ typ: "JWT", alg: "RS256", x5c: [certificate] }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    return `${text}.${createSign("RSA-SHA256").update(text).sign(key, "base64url")}`;
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    realm: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    bundle,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Runs a program that must succeed. */
export async function must(file: string, args: readonly string[], cwd?: string, input?: string): Promise<string> {
  const options = { ...(cwd === undefined ? {} : { cwd }), ...(input === undefined ? {} : { input }) };
  const result = await runProcess(file, args, options);
  if (result.code !== 0) throw new Error(`${file} ${args.join(" ")}: ${result.code}: ${result.stderr}`);
  return result.stdout;
}

/** An image of two layers made by umoci, as `layout/` with the tag `v1` in `dir`: links, owners, modes, whiteouts, an opaque directory. */
export async function makeUmociImage(dir: string): Promise<void> {
  const script = `
    set -eu
    umoci init --layout layout; umoci new --image layout:v1
    umoci unpack --image layout:v1 one
    cd one/rootfs
    mkdir -p etc usr/bin usr/lib many emptied gone/deep "spaces and ünïcode"
    printf 'root:x:0:0::/root:/bin/sh\\nweb:x:1000:1000::/srv:/bin/sh\\n' > etc/passwd
    head -c 300000 /dev/urandom > usr/bin/tool; chmod 4755 usr/bin/tool; ln usr/bin/tool usr/bin/tool-too; ln -s usr/bin bin; ln -s /etc/passwd abs
    for i in $(seq 1 300); do echo $i > "many/file $i"; done
    touch emptied/a emptied/b gone/deep/x stays; chown 1000:2000 stays; chmod 1777 emptied; mkfifo fifo
    touch -d '2001-02-03 04:05:06.789 UTC' stays
    cd ../..; umoci repack --image layout:v1 one; rm -rf one
    umoci unpack --image layout:v1 two; cd two/rootfs
    rm -rf gone emptied bin; mkdir emptied bin; echo new > emptied/c; echo sh > bin/sh; echo changed > "many/file 7"; rm "many/file 8"; chmod 600 stays
    cd ../..; umoci repack --image layout:v1 two; rm -rf two
    umoci config --image layout:v1 --config.entrypoint /bin/sh --config.user web --config.env A=b --config.exposedports 80/tcp
  `;
  await must("sh", ["-c", script], dir);
}

/** Prints what is below the current directory: kinds, modes, owners, links, times, sizes, contents. */
export const LISTING = `{ find . -mindepth 1 -printf '%p %y %m %U:%G %l %T@ %n %s\\n' | sed '/ d /s/ [0-9.]* [0-9]* [0-9]*$//'; find . -type f -exec sha256sum {} +; } | sort`;
