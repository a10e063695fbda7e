import { ApiError } from "../errors.ts";
import type { ApiContext } from "./context.ts";
import { stateEntity } from "./entities.ts";
import { type ApiRequest, sendJson } from "./http.ts";
import { pageOf } from "./paging.ts";
import { streamChanges } from "./watch.ts";

/** `GET /state`, of one machine or unit when asked so. */
export async function listStates({ registry, tokenLimit }: ApiContext, request: ApiRequest): Promise<void> {
  const machine = request.query.get("machineID") ?? "";
  const unit = request.query.get("unitName") ?? "";
  const all = () =>
    registry.view
      .allStates()
      .filter(({ name, state }) => (machine === "" || state.machineId === machine) && (unit === "" || name === unit))
      .map(({ name, state }) => stateEntity(name, state));
  const keyOf = (state: { name: string; machineID: string }) => `${state.name} ${state.machineID}`;
  if (request.query.has("watch")) return await streamChanges(registry, request, all, keyOf);
  const { items, next } = pageOf(all(), keyOf, request.query, tokenLimit);
  sendJson(request.response, 200, { ...(next === undefined ? {} : { nextPageToken: next }), states: items });
}

/** `GET /state/<n>`: of an ordinary unit on its machine; of a global one on the first machine. */
export function getState({ registry }: ApiContext, { response }: ApiRequest, name: string): void {
  const states = registry.view.states(name);
  const target = registry.view.unit(name)?.target;
  const state = (target === undefined ? undefined : states.get(target)) ?? [...states.values()][0];
  if (state === undefined) throw new ApiError(404, "unit state does not exist");
  sendJson(response, 200, stateEntity(name, state));
}
