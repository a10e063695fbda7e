import { request } from "node:http";
import { text } from "node:stream/consumers";
import { ClusterError } from "../errors.ts";
import type { ExecResult, MachineService } from "../port.ts";
import type { ClusterInfo } from "./host.ts";
import { clusterDirectory, controlSocket } from "./record.ts";

/** Steers a cluster that another process of this user hosts. */
export class ControlClient {
  readonly #name: string;
  readonly #socketPath: string;

  constructor(clusterName: string) {
    this.#name = clusterName;
    this.#socketPath = controlSocket(clusterDirectory(clusterName));
  }

  info(): Promise<ClusterInfo> {
    return this.#call("/cluster", {});
  }

  async kill(machine: string): Promise<void> {
    await this.#call("/kill", { machine });
  }

  async restart(machine: string): Promise<void> {
    await this.#call("/restart", { machine });
  }

  async pause(machine: string): Promise<void> {
    await this.#call("/pause", { machine });
  }

  async resume(machine: string): Promise<void> {
    await this.#call("/resume", { machine });
  }

  async partition(groups: readonly (readonly string[])[]): Promise<void> {
    await this.#call("/partition", { groups });
  }

  async heal(): Promise<void> {
    await this.#call("/heal", {});
  }

  exec(machine: string, command: string): Promise<ExecResult> {
    return this.#call("/exec", { machine, command });
  }

  async logs(machine: string, service: MachineService | "system"): Promise<string> {
    return (await this.#call<{ text: string }>("/logs", { machine, service })).text;
  }

  /** Asks the host to end the cluster; resolves when it has heard. */
  async down(): Promise<void> {
    await this.#call("/down", {});
  }

  /** Whether a host answers. */
  async isUp(): Promise<boolean> {
    return this.info().then(
      () => true,
      () => false,
    );
  }

  #call<T>(path: string, body: object): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#socketPath, path, method: "POST" }, (response) => {
        text(response)
          .then((answer) => {
            const value = JSON.parse(answer) as T & { error?: string };
            if (response.statusCode === 200) resolve(value);
            else reject(new ClusterError(value.error ?? `the cluster's host answered ${response.statusCode}`));
          })
          .catch(reject);
      });
      call.once("error", (cause) => {
        const gone = ["ENOENT", "ECONNREFUSED"].includes((cause as NodeJS.ErrnoException).code ?? "");
        reject(
          gone
            ? new ClusterError(`no cluster ${this.#name} is running: start one with "keelson cluster up"`)
            : new ClusterError("the cluster's host did not answer", {}, { cause }),
        );
      });
      call.end(JSON.stringify(body));
    });
  }
}
