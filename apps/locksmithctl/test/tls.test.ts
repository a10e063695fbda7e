import { readFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { createServer } from "node:tls";
import { runProcess, type TempDir, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";
import { runLocksmithctl } from "../src/ctl.ts";
import { startOurs } from "./etcds.ts";

const REQUEST = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=keelson -addext";

async function makeCertificate(dir: TempDir): Promise<boolean> {
  const files = ["-keyout", dir.join("key.pem"), "-out", dir.join("cert.pem")];
  const args = [...REQUEST.split(" "), "subjectAltName=IP:127.0.0.1", ...files];
  const made = await runProcess("openssl", args).catch(() => undefined);
  return made?.code === 0;
}

/** What ends TLS before an etcd. */
async function tlsFront(dir: TempDir, endpoint: string): Promise<{ url: string } & AsyncDisposable> {
  const { hostname, port } = new URL(endpoint);
  const [key, cert] = [readFileSync(dir.join("key.pem")), readFileSync(dir.join("cert.pem"))];
  const server = createServer({ key, cert, ALPNProtocols: ["h2"] }, (socket) => {
    const back = connect(Number(port), hostname);
    socket.pipe(back).pipe(socket);
    for (const stream of [socket, back]) stream.on("error", () => {});
    socket.on("close", () => back.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

it("a CA alone is enough (Flatcar#948), and without it the server is not believed", async () => {
  await using dir = await tempDir("locksmith-tls");
  if (!(await makeCertificate(dir))) {
    process.stdout.write("not run: there is no openssl to make a certificate with\n");
    return;
  }
  await using etcd = await startOurs();
  await using front = await tlsFront(dir, etcd.endpoints[0] ?? "");
  const status = async (...flags: string[]) => {
    const [out, err]: [string[], string[]] = [[], []];
    const exitCode = await runLocksmithctl(["-endpoint", front.url, ...flags, "status"], {
      out: (text) => void out.push(text),
      err: (text) => void err.push(text),
      env: {},
      readFile: (path) => readFileSync(path, "utf8"),
      uid: 0,
      hostname: "alpha",
      nowMs: () => Date.now(),
      signal: new AbortController().signal,
    });
    return { exitCode, stdout: out.join(""), stderr: err.join("") };
  };
  const want = { exitCode: 0, stdout: "Available: 1\nMax: 1\n", stderr: "" };
  expect(await status("-etcd-cafile", dir.join("cert.pem"))).toEqual(want);
  const stranger = await status();
  expect(stranger).toMatchObject({ exitCode: 1, stdout: "" });
  expect(stranger.stderr).toMatch(/^Error initializing etcd client: .*none of the etcd endpoints can be reached/);
});
