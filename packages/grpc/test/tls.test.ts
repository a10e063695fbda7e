import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KV } from "@keelson/proto";
import { afterAll, describe, expect, it } from "vitest";
import { Channel, RpcServer, Status } from "../src/index.ts";
import { echoServices, utf8 } from "./helpers.ts";

const dir = mkdtempSync(join(tmpdir(), "keelson-tls-"));
const made = makeCertificate();
if (!made) process.stdout.write("skipped: TLS tests: there is no openssl to make a certificate with\n");

function makeCertificate(): boolean {
  const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=keelson -addext";
  const files = ["-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")];
  try {
    execFileSync("openssl", [...args.split(" "), "subjectAltName=IP:127.0.0.1,DNS:etcd.test", ...files], {
      stdio: "ignore",
    });
    return true;
  } catch {
    return false;
  }
}

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe.skipIf(!made)("TLS", () => {
  const read = (name: string) => readFileSync(join(dir, name));

  async function start(requireClient = false) {
    const server = new RpcServer({
      services: echoServices(),
      http: () => ({ status: 200, body: "ok" }),
      tls: {
        key: read("key.pem"),
        cert: read("cert.pem"),
        ...(requireClient ? { ca: read("cert.pem"), requestCert: true, rejectUnauthorized: true } : {}),
      },
    });
    const { url } = await server.listen("https://127.0.0.1:0");
    return { server, url, host: new URL(url).host };
  }

  it("serves gRPC and HTTPS on one port, and the client checks who serves", async () => {
    const { server, url, host } = await start();
    await using _server = server;
    using channel = new Channel(host, { tls: { ca: read("cert.pem") } });
    expect((await channel.unary(KV.method.put, { key: utf8("k") })).prevKv?.key).toEqual(utf8("k"));
    using named = new Channel(host, { tls: { ca: read("cert.pem"), serverName: "etcd.test" } });
    await named.unary(KV.method.put, { key: utf8("k") });
    using stranger = new Channel(host, { tls: {} });
    await expect(stranger.unary(KV.method.put, { key: utf8("k") }, { timeoutMs: 5_000 })).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      notSent: true,
    });
    using blind = new Channel(host, { tls: { insecureSkipVerify: true } });
    await blind.unary(KV.method.put, { key: utf8("k") });
    const status = await new Promise((resolve, reject) => {
      get(`${url}/health`, { ca: read("cert.pem") }, (res) => resolve(res.resume().statusCode)).on("error", reject);
    });
    expect(status).toBe(200);
  });

  it("refuses a server whose certificate is for another address or name", async () => {
    const { server, host } = await start();
    await using _server = server;
    const elsewhere = await server.listen("https://127.0.0.2:0");
    for (const target of [new URL(elsewhere.url).host, host.replace("127.0.0.1", "localhost")]) {
      using channel = new Channel(target, { tls: { ca: read("cert.pem") } });
      const call = channel.unary(KV.method.put, { key: utf8("k") }, { timeoutMs: 5_000 });
      await expect(call).rejects.toMatchObject({ status: Status.UNAVAILABLE, notSent: true });
    }
  });

  it("asks for a client certificate when told to", async () => {
    const { server, host } = await start(true);
    await using _server = server;
    const own = { ca: read("cert.pem"), cert: read("cert.pem"), key: read("key.pem") };
    using known = new Channel(host, { tls: own });
    await known.unary(KV.method.put, { key: utf8("k") });
    using unknown = new Channel(host, { tls: { ca: read("cert.pem") } });
    await expect(unknown.unary(KV.method.put, { key: utf8("k") }, { timeoutMs: 5_000 })).rejects.toMatchObject({
      code: "ERR_RPC",
    });
  });
});
