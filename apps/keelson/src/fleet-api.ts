import { request } from "node:http";
import { text } from "node:stream/consumers";
import { CoreError } from "@keelson/types";

/** fleetd refused or could not be reached. */
export class FleetApiError extends CoreError<"ERR_FLEET_API"> {
  readonly code = "ERR_FLEET_API";
}

export interface FleetUnitState {
  readonly name: string;
  readonly machineID: string;
  readonly systemdActiveState: string;
  readonly systemdSubState: string;
}

export interface FleetUnit {
  readonly name: string;
  readonly desiredState: string;
  readonly currentState?: string;
  readonly machineID?: string;
}

export interface UnitOption {
  readonly section: string;
  readonly name: string;
  readonly value: string;
}

const REQUEST_TIMEOUT_MS = 5_000;

/** The few calls of fleet's HTTP API v1 that the live view and the demo need. `url`: `unix:///…` or `http://…`. */
export class FleetApi {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async machines(): Promise<readonly { readonly id: string }[]> {
    return (await this.#call<{ machines?: { id: string }[] }>("GET", "/machines")).machines ?? [];
  }

  async states(): Promise<readonly FleetUnitState[]> {
    return (await this.#call<{ states?: FleetUnitState[] }>("GET", "/state")).states ?? [];
  }

  async units(): Promise<readonly FleetUnit[]> {
    return (await this.#call<{ units?: FleetUnit[] }>("GET", "/units")).units ?? [];
  }

  async launch(name: string, options: readonly UnitOption[]): Promise<void> {
    await this.#call("PUT", `/units/${encodeURIComponent(name)}`, { name, desiredState: "launched", options });
  }

  #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const url = new URL(this.#url);
    const where = url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const call = request(
        { ...where, method, path: `/fleet/v1${path}`, headers, timeout: REQUEST_TIMEOUT_MS },
        (response) => {
          text(response)
            .then((answer) => {
              const status = response.statusCode ?? 0;
              if (status < 300) resolve((answer === "" ? {} : JSON.parse(answer)) as T);
              else reject(new FleetApiError(`fleetd answered ${status}: ${answer.slice(0, 500)}`));
            })
            .catch(reject);
        },
      );
      call.once("timeout", () =>
        call.destroy(new FleetApiError(`fleetd did not answer within ${REQUEST_TIMEOUT_MS} ms`)),
      );
      call.once("error", (cause) => reject(new FleetApiError("fleetd could not be reached", {}, { cause })));
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
