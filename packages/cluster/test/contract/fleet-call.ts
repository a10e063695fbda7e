import { request } from "node:http";
import { text } from "node:stream/consumers";
import type { Machine } from "../../src/port.ts";

/** One call of fleet's HTTP API on a machine; rejects unless the answer is 2xx. */
export function fleetCall<T>(machine: Machine, method: string, path: string, body?: unknown): Promise<T> {
  const url = new URL(machine.fleetUrl);
  const where = url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const call = request({ ...where, method, path: `/fleet/v1${path}`, headers, timeout: 10_000 }, (response) => {
      text(response)
        .then((answer) => {
          if ((response.statusCode ?? 0) < 300) resolve((answer === "" ? {} : JSON.parse(answer)) as T);
          else reject(new Error(`fleetd answered ${response.statusCode}: ${answer}`));
        })
        .catch(reject);
    });
    call.once("timeout", () => call.destroy(new Error("fleetd did not answer within 10 s")));
    call.once("error", reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The ids of the machines that fleet counts as present, as `machine` sees it. */
export async function machinesInFleet(machine: Machine): Promise<string[]> {
  const { machines = [] } = await fleetCall<{ machines?: { id: string }[] }>(machine, "GET", "/machines");
  return machines.map(({ id }) => id).toSorted();
}
