import { ApiError } from "../errors.ts";
import type { ApiContext } from "./context.ts";
import { discovery } from "./discovery.ts";
import { type ApiRequest, sendJson } from "./http.ts";
import { listMachines, patchMachines } from "./machines.ts";
import { unitJournal, unitStatus } from "./owner.ts";
import { getState, listStates } from "./states.ts";
import { deleteUnit, getUnit, listUnits, putUnit, whyUnit } from "./units.ts";

type Handler = (context: ApiContext, request: ApiRequest, name: string) => void | Promise<void>;

interface Route {
  readonly path: RegExp;
  readonly methods: Readonly<Record<string, Handler>>;
  /** fleet's words for any other method. */
  readonly refusal: { readonly status: number; readonly message: string };
}

const only = (methods: string) => ({ status: 405, message: `only ${methods} supported against this resource` });

const ROUTES: readonly Route[] = [
  {
    path: /^\/discovery$/,
    methods: { GET: (_, { raw, response }) => sendJson(response, 200, discovery(raw.headers.host ?? "localhost")) },
    refusal: { status: 400, message: "only HTTP GET supported against this resource" },
  },
  { path: /^\/machines$/, methods: { GET: listMachines, PATCH: patchMachines }, refusal: only("GET and PATCH") },
  { path: /^\/units$/, methods: { GET: listUnits }, refusal: only("GET") },
  {
    path: /^\/units\/([^/]+)$/,
    methods: { GET: getUnit, DELETE: deleteUnit, PUT: putUnit },
    refusal: only("GET, PUT and DELETE"),
  },
  { path: /^\/units\/([^/]+)\/why$/, methods: { GET: whyUnit }, refusal: only("GET") },
  { path: /^\/units\/([^/]+)\/status$/, methods: { GET: unitStatus }, refusal: only("GET") },
  { path: /^\/units\/([^/]+)\/journal$/, methods: { GET: unitJournal }, refusal: only("GET") },
  { path: /^\/state$/, methods: { GET: listStates }, refusal: only("GET") },
  { path: /^\/state\/([^/]+)$/, methods: { GET: getState }, refusal: only("GET") },
];

/** Answers one request below `/fleet/v1` or `/v1-alpha`; `path` is the rest of its path. @throws ApiError */
export async function route(context: ApiContext, request: ApiRequest, path: string): Promise<void> {
  if (path === "") throw new ApiError(405, "");
  for (const { path: pattern, methods, refusal } of ROUTES) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const handler = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
    if (handler === undefined) throw new ApiError(refusal.status, refusal.message);
    return await handler(context, request, decodeName(match[1] ?? ""));
  }
  throw new ApiError(404, "");
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch (cause) {
    throw new ApiError(400, "malformed escape in URL", { cause });
  }
}
