import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { runProcess, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { type CredentialStore, RegistryConfig } from "../src/image/index.ts";
import { type MadeImage, ordinaryImage } from "./images/make-image.ts";
import { type Seen, sendBlob, startRegistry } from "./images/registry.ts";
import { testStore } from "./images/store-helpers.ts";
import { must } from "./images/upstream.ts";

const credentials: CredentialStore = { find: () => ({ kind: "basic", username: "web", password: "pw" }) };

interface TlsRegistry extends AsyncDisposable {
  readonly host: string;
  readonly seen: Pick<Seen, "url" | "authorization">[];
  /** Where it sends everybody, when it does; or the challenge that it answers with. */
  behave: { redirect?: string; challenge?: string };
}

/** A registry with a certificate that nobody signed. */
async function startTls(dir: string, image: MadeImage): Promise<TlsRegistry> {
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  await must(
    "openssl",
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", ...subject],
    dir,
  );
  const seen: TlsRegistry["seen"] = [];
  const result = { seen, behave: {} as TlsRegistry["behave"] };
  const [key, cert] = [await readFile(`${dir}/key.pem`), await readFile(`${dir}/cert.pem`)];
  const server = createServer({ key, cert }, (request, response) => {
    seen.push({ url: request.url ?? "", authorization: request.headers.authorization });
    const { redirect, challenge } = result.behave;
    if (redirect !== undefined) response.writeHead(302, { location: redirect }).end();
    else if (challenge !== undefined) response.writeHead(401, { "www-authenticate": challenge }).end();
    else if (request.url?.includes("/manifests/") === true) response.end(image.manifestBytes);
    else sendBlob(image.blobs.get(request.url?.split("/").at(-1) ?? "") ?? new Uint8Array(0), undefined, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(result, {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

const rule = (host: string, tls: string) => new RegistryConfig({ registries: [{ prefix: host, tls }] });

it("trusts no certificate that nobody signed, unless the configuration says so for that registry", async () => {
  await using dir = await tempDir("tls");
  await using registry = await startTls(dir.path, ordinaryImage());
  using strict = await testStore(dir.join("strict"), {
    config: rule(registry.host, "verify"),
    retries: 0,
    credentials,
  });
  const error = await strict.store.pull(`${registry.host}/app`).then(
    () => undefined,
    (e: unknown) => e as Error & { problem: string; cause: { code: string } },
  );
  expect([error?.problem, error?.cause.code]).toEqual(["unreachable", "DEPTH_ZERO_SELF_SIGNED_CERT"]);
  expect(registry.seen).toEqual([]);
  using lax = await testStore(dir.join("lax"), { config: rule(registry.host, "skip-verify") });
  expect(await lax.store.pull(`${registry.host}/app`)).toMatchObject({ names: [`${registry.host}/app:latest`] });
});

it("trusts what the machine's administrator trusts", async () => {
  await using dir = await tempDir("tls-system");
  await using registry = await startTls(dir.path, ordinaryImage());
  const script = `
    import { openImageStore, RegistryClient, RegistryConfig } from "${import.meta.dirname}/../src/image/index.ts";
    using client = new RegistryClient({ config: new RegistryConfig({ registries: [{ prefix: "${registry.host}", tls: "verify" }] }) });
    const store = await openImageStore({ root: "${dir.join("store")}", client });
    console.log((await store.pull("${registry.host}/app")).names[0]);`;
  const env = { ...process.env, SSL_CERT_FILE: dir.join("cert.pem") };
  const result = await runProcess(process.execPath, ["--input-type=module-typescript", "-e", script], { env });
  expect(result.stderr + result.stdout).toBe(`${registry.host}/app:latest\n`);
});

it("is not led from an encrypted registry to one that is not, nor to such a token server", async () => {
  await using dir = await tempDir("tls-down");
  await using plain = await startRegistry({ latest: ordinaryImage() });
  await using registry = await startTls(dir.path, ordinaryImage());
  using opened = await testStore(dir.join("store"), {
    config: rule(registry.host, "skip-verify"),
    retries: 0,
    credentials,
  });
  registry.behave = { redirect: `http://${plain.host}/v2/app/manifests/latest` };
  await expect(opened.store.pull(`${registry.host}/app`)).rejects.toMatchObject({
    problem: "redirect",
    message: expect.stringMatching(/not encrypted/),
  });
  registry.behave = { challenge: `Bearer realm="http://${plain.host}/token"` };
  await expect(opened.store.pull(`${registry.host}/app`)).rejects.toMatchObject({
    problem: "protocol",
    message: expect.stringMatching(/not encrypted/),
  });
  expect(plain.seen).toEqual([]);
});

it("falls back to plain HTTP only when told, and then without credentials", async () => {
  await using dir = await tempDir("plain");
  await using registry = await startRegistry({ latest: ordinaryImage() });
  using opened = await testStore(dir.join("store"), { config: rule(registry.host, "verify"), retries: 0, credentials });
  await expect(opened.store.pull(`${registry.host}/app`)).rejects.toMatchObject({ problem: "unreachable" });
  registry.misbehave = (request, response) => {
    if (request.headers.authorization !== undefined || !request.url?.includes("manifests")) return false;
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    return true;
  };
  const nobody: CredentialStore = {
    find: (host) => (host === "" ? undefined : { kind: "basic", username: "web", password: "pw" }),
  };
  using careful = await testStore(dir.join("careful"), {
    config: rule(registry.host, "verify"),
    retries: 0,
    credentials: nobody,
  });
  await expect(careful.store.pull(`${registry.host}/app`, { isPlainHttpAllowed: true })).rejects.toMatchObject({
    problem: "unauthorized",
  });
  expect(registry.seen.map((s) => s.authorization)).toEqual([undefined]);
  registry.misbehave = undefined;
  await careful.store.pull(`${registry.host}/app`, { isPlainHttpAllowed: true });
});
