import { ApiError } from "../errors.ts";
import { isObject } from "../registry/records.ts";
import type { ApiContext } from "./context.ts";
import { machineEntities } from "./entities.ts";
import { type ApiRequest, readJson, sendJson } from "./http.ts";
import { pageOf } from "./paging.ts";
import { streamChanges } from "./watch.ts";

const METADATA_PATH = /^\/([^/]+)\/metadata\/([A-Za-z0-9_.-]+)$/;
const OPS_MAX = 1_000;

/** `GET /machines`. */
export async function listMachines({ registry, tokenLimit }: ApiContext, request: ApiRequest): Promise<void> {
  const all = () => machineEntities(registry.view);
  if (request.query.has("watch")) return await streamChanges(registry, request, all, (machine) => machine.id);
  const { items, next } = pageOf(all(), (machine) => machine.id, request.query, tokenLimit);
  sendJson(request.response, 200, { machines: items, ...(next === undefined ? {} : { nextPageToken: next }) });
}

/** `PATCH /machines`: all operations are checked before the first is done. Source: fleet api/machines.go. */
export async function patchMachines({ writer }: ApiContext, request: ApiRequest): Promise<void> {
  const json = await readJson(request.raw, (problem) => problem);
  if (!Array.isArray(json)) throw new ApiError(400, "expected a list of operations");
  if (json.length > OPS_MAX) throw new ApiError(400, `more than ${OPS_MAX} operations`);
  const changes = json.map((op: unknown) => {
    if (!isObject(op)) throw new ApiError(400, "expected an operation");
    if (op["op"] !== "add" && op["op"] !== "remove" && op["op"] !== "replace") {
      throw new ApiError(400, "invalid op: expect add, remove, or replace");
    }
    const match = typeof op["path"] === "string" ? METADATA_PATH.exec(op["path"]) : null;
    if (match === null) throw new ApiError(400, "machine metadata path invalid");
    const [, machineId = "", key = ""] = match;
    if (op["op"] === "remove") return { machineId, key, value: "" };
    // fleet's documentation shows plain text, its code wants an object that holds it.
    const value = isObject(op["value"]) ? op["value"]["value"] : op["value"];
    if (typeof value !== "string" || value === "") {
      throw new ApiError(400, "invalid value: add and replace require a value");
    }
    return { machineId, key, value };
  });
  await writer.setMetadata(changes);
  sendJson(request.response, 204);
}
