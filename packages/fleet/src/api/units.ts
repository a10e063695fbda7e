import { formatErrorChain } from "@keelson/types";
import {
  checkOptions,
  checkRequirements,
  hashOptions,
  isTemplate,
  parseRequirements,
  parseUnitName,
  RequirementsError,
  UnitNameError,
  type UnitOption,
  UnitSyntaxError,
  UnitValueError,
} from "@keelson/unit";
import type { DesiredState } from "../core/model.ts";
import { explain } from "../core/reconcile.ts";
import { ApiError } from "../errors.ts";
import { isObject, parseDesired } from "../registry/records.ts";
import type { ApiContext } from "./context.ts";
import { currentState, unitEntity, type WhyEntity } from "./entities.ts";
import { type ApiRequest, readJson, requireJson, sendJson } from "./http.ts";
import { pageOf } from "./paging.ts";
import { streamChanges } from "./watch.ts";

/** `GET /units`. */
export async function listUnits({ registry, tokenLimit }: ApiContext, request: ApiRequest): Promise<void> {
  const { view } = registry;
  const all = () => view.units().map((unit) => unitEntity(unit, view));
  if (request.query.has("watch")) return await streamChanges(registry, request, all, (unit) => unit.name);
  const { items, next } = pageOf(view.units(), (unit) => unit.name, request.query, tokenLimit);
  const units = items.map((unit) => unitEntity(unit, view));
  sendJson(request.response, 200, { ...(next === undefined ? {} : { nextPageToken: next }), units });
}

/** `GET /units/<n>`. */
export function getUnit({ registry }: ApiContext, { response }: ApiRequest, name: string): void {
  const unit = registry.view.unit(name);
  if (unit === undefined) throw new ApiError(404, "unit does not exist");
  sendJson(response, 200, unitEntity(unit, registry.view));
}

/** `GET /units/<n>/why`. */
export function whyUnit({ registry }: ApiContext, { response }: ApiRequest, name: string): void {
  const { view } = registry;
  const unit = view.unit(name);
  if (unit === undefined) throw new ApiError(404, "unit does not exist");
  const current = currentState(unit, view);
  const answer: WhyEntity = {
    name,
    desiredState: unit.desired,
    ...(current === undefined ? {} : { currentState: current }),
    ...(unit.target === undefined ? {} : { machineID: unit.target }),
    ...(unit.why === undefined ? {} : { reason: unit.why }),
    machines: (explain(view.cluster(), name) ?? []).map(({ machineId: id, ...rest }) => ({ id, ...rest })),
  };
  sendJson(response, 200, answer);
}

/** `DELETE /units/<n>`. */
export async function deleteUnit({ writer }: ApiContext, { response }: ApiRequest, name: string): Promise<void> {
  if (!(await writer.destroyUnit(name))) throw new ApiError(404, "unit does not exist");
  sendJson(response, 204);
}

/** `PUT /units/<n>`: creates a unit, replaces its text, or changes its desired state. Source: fleet api/units.go. */
export async function putUnit(context: ApiContext, request: ApiRequest, name: string): Promise<void> {
  const { registry, writer } = context;
  requireJson(request.raw);
  const body = parseBody(await readJson(request.raw, (problem) => `unable to decode body: ${problem}`));
  if (body.name !== undefined && body.name !== "" && body.name !== name) {
    const [url, given] = [JSON.stringify(name), JSON.stringify(body.name)];
    throw new ApiError(400, `name in URL ${url} differs from unit name in request body ${given}`);
  }
  const info = refuse(() => parseUnitName(name));
  const unit = registry.view.unit(name);
  const { options, desiredState } = body;
  if (unit === undefined && options.length === 0) {
    throw new ApiError(409, "unit does not exist and options field empty");
  }
  const isNew = options.length > 0 && unit?.hash !== hashOptions(options);
  if (!isNew && desiredState === undefined) {
    throw new ApiError(409, "must provide DesiredState to update existing unit");
  }
  if (isTemplate(info) && desiredState !== undefined && desiredState !== "inactive") {
    throw new ApiError(400, `cannot activate template ${JSON.stringify(name)}`);
  }
  if (isNew) {
    refuse(() => {
      checkOptions(options);
      checkRequirements(parseRequirements(options, info).requirements);
    });
    await writer.putUnit(name, options, desiredState);
    sendJson(request.response, 201);
    return;
  }
  if (desiredState !== undefined && !(await writer.setDesired(name, desiredState))) {
    throw new ApiError(409, "unit does not exist and options field empty");
  }
  sendJson(request.response, 204);
}

interface UnitBody {
  readonly name: string | undefined;
  readonly options: readonly UnitOption[];
  readonly desiredState: DesiredState | undefined;
}

function parseBody(json: unknown): UnitBody {
  const bad = (problem: string) => new ApiError(400, `unable to decode body: ${problem}`);
  if (!isObject(json)) throw bad("expected an object");
  const { name, options = [], desiredState } = json;
  if (name !== undefined && typeof name !== "string") throw bad("name is not text");
  if (options !== null && !Array.isArray(options)) throw bad("options is not a list");
  const parsed = (options ?? []).map((option: unknown): UnitOption => {
    if (!isObject(option)) throw bad("an option is not an object");
    const { section, name: key, value } = option;
    if (typeof section !== "string" || typeof key !== "string" || typeof value !== "string") {
      throw bad("an option needs section, name and value as text");
    }
    return { section, name: key, value };
  });
  if (desiredState === undefined || desiredState === "") return { name, options: parsed, desiredState: undefined };
  const desired = typeof desiredState === "string" ? parseDesired(desiredState) : undefined;
  if (desired === undefined) throw bad(`invalid desired state ${JSON.stringify(desiredState)}`);
  return { name, options: parsed, desiredState: desired };
}

/** Refusals of the unit's own text become 400. */
function refuse<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    const isRefusal =
      cause instanceof UnitNameError ||
      cause instanceof RequirementsError ||
      cause instanceof UnitSyntaxError ||
      cause instanceof UnitValueError;
    if (!isRefusal) throw cause;
    throw new ApiError(400, formatErrorChain(cause), { cause });
  }
}
