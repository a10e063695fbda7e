import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import type { Bench } from "./bench.ts";

/** A service of the host for machines: answers every request with its text. */
export class HostService implements AsyncDisposable {
  static readonly text = "hello from the host\n";
  readonly #server = createServer((_, response) => response.end(HostService.text));

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Boots and their names, and ports in both directions. */
export function bootTests(bench: () => Bench): void {
  it("names the boots of a machine", async () => {
    const ids = await Promise.all(bench().machines.map((machine) => machine.bootId()));
    expect(new Set(ids).size).toBe(3);
    expect(ids).not.toContain("");
    expect(await bench().machine(0).bootId()).toBe(ids[0]);
    expect((await bench().machine(0).serial()).length).toBeLessThanOrEqual(1 << 20);
  });

  it("reboots machines that can, and says so for those that cannot", async () => {
    const machine = bench().machine(1);
    const can = bench().provider.supports.reboot;
    const limit = { timeoutMs: 30_000 * bench().provider.slowness };
    const file = `${bench().diskDirectory}/contract-reboot`;
    await machine.exec(`echo kept >${file}; sync ${file}`);
    const before = await machine.bootId();
    const early = can ? /a reboot of m2 did not happen within 0.5 s/ : /machine m2 .*do not reboot/;
    await expect(machine.waitReboot({ timeoutMs: 500 })).rejects.toThrow(early);
    const outcome = await machine.reboot(limit).then(
      () => "it reboots",
      (error: Error) => error.message,
    );
    expect(outcome).toMatch(can ? /^it reboots$/ : /machine m2 .*do not reboot/);
    expect(machine.state).toBe("running");
    expect((await machine.bootId()) !== before).toBe(can);
    expect((await machine.exec(`cat ${file}`)).stdout).toBe("kept\n");
    await bench().until("m2 with a quorum", () => bench().hasQuorum(1));
  });

  it("tells machines where the host's services are, and the host where their ports are", async () => {
    const { provider } = bench();
    const { host, port } = provider.serviceAddress("hello");
    const ask = `exec 3<>/dev/tcp/${host}/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3`;
    for (const machine of bench().machines) {
      expect((await machine.exec(`bash -c "${ask.replaceAll('"', '\\"')}"`)).stdout).toBe(HostService.text);
      const own = provider.kind === "process" ? Number(new URL(machine.etcdUrl).port) : 2379;
      expect(machine.urlOf(own)).toBe(machine.etcdUrl);
    }
    expect(() => provider.serviceAddress("other")).toThrow("there is no service other");
  });
}
