import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import type { MachineId } from "@keelson/types";
import { UnitNotLoadedError } from "@keelson/unit";
import { ApiError } from "../errors.ts";
import type { ApiContext } from "./context.ts";
import { type ApiRequest, sendJson } from "./http.ts";

const FORWARDED = "x-fleet-forwarded";
const LINES_MAX = 10_000;
/** A machine that does not answer in this time is taken to be out of reach. */
const FORWARD_TIMEOUT_MS = 5_000;

/** `GET /units/<n>/status`: what the unit manager of its machine says, here or by asking that machine's fleetd. */
export async function unitStatus(context: ApiContext, request: ApiRequest, name: string): Promise<void> {
  const machineId = ownerOf(context, request, name);
  if (machineId !== context.machineId) return await forward(context, request, machineId);
  const status = await context.manager.status(name);
  sendJson(request.response, 200, { machineID: machineId, ...status });
}

/** `GET /units/<n>/journal?lines=&follow=`: the unit's output as text, from the machine that it is on. */
export async function unitJournal(context: ApiContext, request: ApiRequest, name: string): Promise<void> {
  const lines = Number(request.query.get("lines") ?? "10");
  if (!Number.isInteger(lines) || lines < 0 || lines > LINES_MAX) {
    throw new ApiError(400, `lines must be a whole number from 0 to ${LINES_MAX}`);
  }
  const follow = ["1", "true"].includes(request.query.get("follow") ?? "");
  const machineId = ownerOf(context, request, name);
  if (machineId !== context.machineId) return await forward(context, request, machineId);
  const { response, signal } = request;
  const journal = context.manager.journal(name, { lines, follow, signal });
  const start = () => {
    if (!response.headersSent) response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" }).flushHeaders();
  };
  try {
    if (follow) start();
    for await (const line of journal) {
      start();
      if (!response.write(`${line}\n`)) await once(response, "drain", { signal });
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof UnitNotLoadedError) throw new ApiError(404, `unit ${name} is not loaded on ${machineId}`);
    throw error;
  }
  start();
  response.end();
}

/** The machine whose unit manager is to be asked. */
function ownerOf({ registry, machineId }: ApiContext, { query }: ApiRequest, name: string): MachineId {
  const { view } = registry;
  const unit = view.unit(name);
  if (unit === undefined) throw new ApiError(404, "unit does not exist");
  const wanted = query.get("machineID");
  if (wanted !== null) return wanted;
  if (unit.target !== undefined) return unit.target;
  const states = view.states(name);
  if (unit.requirements.global && states.has(machineId)) return machineId;
  const [first] = [...states.keys()].sort();
  if (first === undefined) throw new ApiError(409, `unit ${name} is on no machine (see: fleetctl why ${name})`);
  return first;
}

/** Passes a request on to another machine's fleetd, once at most, and its answer back. */
async function forward({ registry }: ApiContext, request: ApiRequest, machineId: MachineId): Promise<void> {
  const machine = registry.view.machine(machineId);
  if (machine === undefined) throw new ApiError(404, `machine ${machineId} is not in the cluster`);
  const { apiUrl } = machine.record;
  // A socket of the same name on another host is this host's: then the request has come back to us.
  const isBack = request.raw.headers[FORWARDED] !== undefined;
  if (apiUrl === undefined || isBack) {
    throw new ApiError(
      502,
      `the unit is on machine ${machineId}, whose fleetd listens for no other machine; ` +
        "ask it there, or start it with --listen http://ADDRESS:PORT",
    );
  }
  const { pathname, search } = new URL(request.raw.url ?? "/", "http://fleet");
  const outgoing = httpRequest({
    ...addressOf(apiUrl),
    path: `${pathname}${pinned(search, machineId)}`,
    headers: { [FORWARDED]: "1" },
    signal: request.signal,
  });
  outgoing.setTimeout(FORWARD_TIMEOUT_MS, () => outgoing.destroy(new Error(`no answer in ${FORWARD_TIMEOUT_MS} ms`)));
  outgoing.end();
  try {
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    outgoing.setTimeout(0);
    const type = incoming.headers["content-type"];
    request.response.writeHead(incoming.statusCode ?? 502, type === undefined ? {} : { "Content-Type": type });
    request.response.flushHeaders();
    await pipeline(incoming, request.response);
  } catch (cause) {
    if (request.signal.aborted || request.response.headersSent) return void request.response.destroy();
    throw new ApiError(502, `machine ${machineId} cannot be reached at ${apiUrl}`, { cause });
  }
}

function addressOf(apiUrl: string): { socketPath: string } | { host: string; port: string } {
  const url = new URL(apiUrl);
  if (url.protocol === "unix:") return { socketPath: decodeURIComponent(url.pathname) };
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? "80" : url.port };
}

function pinned(search: string, machineId: MachineId): string {
  const query = new URLSearchParams(search);
  query.set("machineID", machineId);
  return `?${query.toString()}`;
}
