import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { createInterface } from "node:readline";
import type { UnitOption, UnitStatus } from "@keelson/unit";
import type { MachineEntity, UnitEntity, UnitStateEntity, WhyEntity } from "../api/entities.ts";
import type { DesiredState } from "../core/model.ts";
import { ApiError, ConfigError } from "../errors.ts";
import { isObject } from "../registry/records.ts";

/** Where fleetctl finds fleetd unless told otherwise. */
export const DEFAULT_ENDPOINT = "unix:///var/run/fleet.sock";

/** Options of {@link FleetClient}. */
export interface FleetClientOptions {
  /** `unix:///path`, `http://host:port` or `https://host:port`. */
  readonly endpoint: string;
  /** How long an answer may take to begin. Default 10 s. */
  readonly timeoutMs?: number;
}

type Target = { readonly socketPath: string } | { readonly base: URL };

/** A client of fleet's HTTP API, ours or upstream's. Additions of ours fail with 404 on upstream's. */
export class FleetClient {
  readonly endpoint: string;
  readonly #target: Target;
  readonly #timeoutMs: number;

  /** @throws ConfigError */
  constructor(options: FleetClientOptions) {
    this.endpoint = options.endpoint;
    this.#target = parseEndpoint(options.endpoint);
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /** All machines, sorted by id. */
  machines(): Promise<MachineEntity[]> {
    return this.#list<MachineEntity>("machines", "machines", {});
  }

  /** All units, sorted by name. */
  units(): Promise<UnitEntity[]> {
    return this.#list<UnitEntity>("units", "units", {});
  }

  /** What machines say of units. */
  states(filter: { readonly machineID?: string; readonly unitName?: string } = {}): Promise<UnitStateEntity[]> {
    return this.#list<UnitStateEntity>("state", "states", filter);
  }

  /** Undefined when there is no such unit. */
  async unit(name: string): Promise<UnitEntity | undefined> {
    return (await this.#optional("GET", unitPath(name))) as UnitEntity | undefined;
  }

  /** Creates a unit or gives it another text. */
  async createUnit(name: string, options: readonly UnitOption[], desiredState?: DesiredState): Promise<void> {
    await this.#json("PUT", unitPath(name), { name, options, ...(desiredState === undefined ? {} : { desiredState }) });
  }

  async setDesiredState(name: string, desiredState: DesiredState): Promise<void> {
    await this.#json("PUT", unitPath(name), { name, desiredState });
  }

  /** False when there is no such unit. */
  async destroyUnit(name: string): Promise<boolean> {
    return (await this.#optional("DELETE", unitPath(name), null)) !== undefined;
  }

  /** Where a unit is, or why it is nowhere. Undefined when there is no such unit. */
  async why(name: string): Promise<WhyEntity | undefined> {
    return (await this.#optional("GET", `${unitPath(name)}/why`)) as WhyEntity | undefined;
  }

  /** What the unit manager of the unit's machine says. */
  async status(name: string, machineID?: string): Promise<UnitStatus & { readonly machineID: string }> {
    const answer = await this.#json("GET", `${unitPath(name)}/status${onMachine(machineID)}`);
    return answer as UnitStatus & { readonly machineID: string };
  }

  /** A unit's output, line by line, from its machine. */
  async *journal(
    name: string,
    options: { lines: number; follow?: boolean; machineID?: string; signal?: AbortSignal },
  ): AsyncIterable<string> {
    const query = new URLSearchParams({ lines: String(options.lines) });
    if (options.follow === true) query.set("follow", "1");
    if (options.machineID !== undefined) query.set("machineID", options.machineID);
    const path = `${unitPath(name)}/journal?${query.toString()}`;
    const response = await this.#send("GET", path, undefined, options.signal);
    if (response.statusCode !== 200) throw await toError(response);
    try {
      yield* createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
    } finally {
      response.destroy();
    }
  }

  async #list<T>(path: string, field: string, filter: Readonly<Record<string, string>>): Promise<T[]> {
    const items: T[] = [];
    const query = new URLSearchParams(filter);
    for (;;) {
      const page = await this.#json("GET", `${path}?${query.toString()}`);
      if (!isObject(page)) throw new ApiError(502, "answer is not an object");
      // Go leaves out empty lists.
      const found = page[field] ?? [];
      if (Array.isArray(found)) items.push(...(found as T[]));
      if (typeof page["nextPageToken"] !== "string" || page["nextPageToken"] === "") return items;
      query.set("nextPageToken", page["nextPageToken"]);
    }
  }

  async #optional(method: string, path: string, empty?: unknown): Promise<unknown> {
    try {
      return (await this.#json(method, path)) ?? empty;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  async #json(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await this.#send(method, path, body);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw await toError(response);
    const text = await readText(response);
    return text === "" ? undefined : JSON.parse(text);
  }

  async #send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      text === undefined ? {} : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) };
    const limits = { method, headers, ...(signal === undefined ? {} : { signal }) };
    const target = this.#target;
    const request =
      "socketPath" in target
        ? httpRequest({ ...limits, socketPath: target.socketPath, path: `/fleet/v1/${path}`, host: "localhost" })
        : (target.base.protocol === "https:" ? httpsRequest : httpRequest)(
            new URL(`/fleet/v1/${path}`, target.base),
            limits,
          );
    request.setTimeout(this.#timeoutMs, () => {
      request.destroy(new Error(`no answer within ${this.#timeoutMs} ms`));
    });
    request.end(text);
    try {
      const [response] = (await once(request, "response")) as [IncomingMessage];
      request.setTimeout(0);
      return response;
    } catch (cause) {
      signal?.throwIfAborted();
      throw new ApiError(0, `cannot reach fleetd at ${this.endpoint}`, { cause });
    }
  }
}

/** Source: fleet fleetctl.go, getHTTPClient. @throws ConfigError in fleet's words */
export function parseEndpoint(text: string): Target {
  const url = URL.parse(text);
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) throw new ConfigError("URL scheme undefined", { endpoint: text });
  if (scheme === "unix" || scheme === "file") {
    const rest = text.slice(text.indexOf("://") + 3);
    const host = rest.split("/", 1)[0] ?? "";
    if (host !== "") {
      throw new ConfigError(`unable to connect to host ${JSON.stringify(host)} with scheme ${JSON.stringify(scheme)}`);
    }
    return { socketPath: decodeURIComponent(rest) };
  }
  if (url === null || (scheme !== "http" && scheme !== "https")) {
    throw new ConfigError(`URL scheme ${JSON.stringify(scheme)} is not supported: use unix, http or https`);
  }
  return { base: url };
}

function unitPath(name: string): string {
  return `units/${encodeURIComponent(name)}`;
}

function onMachine(machineID: string | undefined): string {
  return machineID === undefined ? "" : `?machineID=${encodeURIComponent(machineID)}`;
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function toError(response: IncomingMessage): Promise<ApiError> {
  const status = response.statusCode ?? 0;
  const text = (await readText(response)).slice(0, 10_000);
  let message = text;
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json) && isObject(json["error"]) && typeof json["error"]["message"] === "string") {
      message = json["error"]["message"];
    }
  } catch {
    // Not fleet's own error; say what came.
  }
  // The form in which fleetctl's Google client shows errors; scripts look for it.
  return new ApiError(status, `googleapi: Error ${status}: ${message}`);
}
