/** Types of the schema's properties, by entity. */
const STATES = ["inactive", "loaded", "launched"];
const text = { type: "string" };
const listOf = (name: string) => ({ type: "array", items: { $ref: name } });
const entity = (id: string, properties: Record<string, unknown>) => ({ id, type: "object", properties });
const page = { nextPageToken: { type: "string", location: "query" } };
const unitName = { unitName: { type: "string", location: "path", required: true } };

function method(id: string, description: string, httpMethod: string, path: string, more: Record<string, unknown>) {
  return { id, description, httpMethod, path, ...more };
}

/** The API's Google discovery document, with the address under which the client has found us. Source: fleet schema/v1.json. */
export function discovery(host: string): unknown {
  const onUnit = { parameters: unitName, parameterOrder: ["unitName"] };
  return {
    kind: "discovery#restDescription",
    discoveryVersion: "v1",
    id: "fleet:v1",
    name: "schema",
    version: "v1",
    title: "fleet API",
    description: "",
    documentationLink: "http://github.com/coreos/fleet",
    protocol: "rest",
    icons: { x16: "", x32: "" },
    labels: [],
    baseUrl: `http://${host}/fleet/v1/`,
    basePath: "/fleet/v1/",
    rootUrl: `http://${host}/`,
    servicePath: "fleet/v1/",
    batchPath: "batch",
    parameters: {},
    auth: {},
    schemas: {
      Machine: entity("Machine", {
        id: text,
        primaryIP: text,
        metadata: { type: "object", properties: {}, additionalProperties: text },
      }),
      MachinePage: entity("MachinePage", { machines: listOf("Machine"), nextPageToken: text }),
      UnitOption: entity("UnitOption", { section: text, name: text, value: text }),
      Unit: entity("Unit", {
        name: text,
        options: listOf("UnitOption"),
        desiredState: { ...text, enum: STATES },
        currentState: { ...text, enum: STATES },
        machineID: { ...text, required: true },
      }),
      UnitPage: entity("UnitPage", { units: listOf("Unit"), nextPageToken: text }),
      UnitState: entity("UnitState", {
        name: text,
        hash: text,
        machineID: text,
        systemdLoadState: text,
        systemdActiveState: text,
        systemdSubState: text,
      }),
      UnitStatePage: entity("UnitStatePage", { states: listOf("UnitState"), nextPageToken: text }),
    },
    resources: {
      Machines: {
        methods: {
          List: method("fleet.Machine.List", "Retrieve a page of Machine objects.", "GET", "machines", {
            parameters: page,
            response: { $ref: "MachinePage" },
          }),
        },
      },
      Units: {
        methods: {
          List: method("fleet.Unit.List", "Retrieve a page of Unit objects.", "GET", "units", {
            parameters: page,
            response: { $ref: "UnitPage" },
          }),
          Get: method("fleet.Unit.Get", "Retrieve a single Unit object.", "GET", "units/{unitName}", {
            ...onUnit,
            response: { $ref: "Unit" },
          }),
          Delete: method(
            "fleet.Unit.Delete",
            "Delete the referenced Unit object.",
            "DELETE",
            "units/{unitName}",
            onUnit,
          ),
          Set: method("fleet.Unit.Set", "Create or update a Unit.", "PUT", "units/{unitName}", {
            ...onUnit,
            request: { $ref: "Unit" },
          }),
        },
      },
      UnitState: {
        methods: {
          Get: method(
            "fleet.UnitState.Get",
            "Retrieve a page of a single UnitState object.",
            "GET",
            "state/{unitName}",
            {
              ...onUnit,
              response: { $ref: "UnitState" },
            },
          ),
          List: method("fleet.UnitState.List", "Retrieve a page of UnitState objects.", "GET", "state", {
            parameters: {
              ...page,
              unitName: { ...text, location: "query" },
              machineID: { ...text, location: "query" },
            },
            response: { $ref: "UnitStatePage" },
          }),
        },
      },
    },
  };
}
