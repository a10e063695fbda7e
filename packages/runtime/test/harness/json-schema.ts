type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Schema = { [key: string]: Json };

/** The keywords of JSON Schema draft 4 that runtime-spec's schema is made of; another one is an error, not ignored. */
const KNOWN = new Set([
  "$ref",
  "$schema",
  "additionalProperties",
  "allOf",
  "anyOf",
  "default",
  "definitions",
  "description",
  "enum",
  "id",
  "items",
  "maximum",
  "minimum",
  "minItems",
  "maxItems",
  "not",
  "oneOf",
  "pattern",
  "patternProperties",
  "properties",
  "required",
  "title",
  "type",
  "uniqueItems",
  "dependencies",
  "media",
]);

/** Checks values against schemas that are in several files. Small, and for tests. */
export class JsonSchema {
  readonly #files: ReadonlyMap<string, Schema>;

  constructor(files: ReadonlyMap<string, unknown>) {
    this.#files = files as ReadonlyMap<string, Schema>;
  }

  /** What is wrong with a value, each with its place; nothing when it is valid. */
  check(value: unknown, file: string): string[] {
    return this.#check(value as Json, this.#at(file, ""), file, "$");
  }

  #at(file: string, pointer: string): Schema {
    let at: Json | undefined = this.#files.get(file);
    for (const key of pointer.split("/").filter(Boolean))
      at = (at as Schema | undefined)?.[key.replaceAll("~1", "/").replaceAll("~0", "~")];
    if (at === undefined) throw new Error(`there is no ${pointer} in ${file}`);
    return at as Schema;
  }

  #check(value: Json, schema: Schema, file: string, where: string): string[] {
    // Files keep definitions among keywords; only what is used has to be known.
    const ref = schema["$ref"];
    if (typeof ref === "string") {
      const [name = "", pointer = ""] = ref.split("#");
      const target = name === "" ? file : name;
      return this.#check(value, this.#at(target, pointer), target, where);
    }
    const unknown = Object.keys(schema).find((key) => !KNOWN.has(key) && typeof schema[key] !== "object");
    if (unknown !== undefined) throw new Error(`the keyword ${unknown} is not known (${file}, ${where})`);
    const list = (key: string) => (schema[key] ?? []) as Schema[];
    const each = (key: string) => list(key).map((part) => this.#check(value, part, file, where));
    return [
      ...checkValue(value, schema, where),
      ...each("allOf").flat(),
      ...(schema["anyOf"] !== undefined && !each("anyOf").some((errors) => errors.length === 0)
        ? [`${where}: none of anyOf`]
        : []),
      ...(schema["oneOf"] !== undefined && each("oneOf").filter((errors) => errors.length === 0).length !== 1
        ? [`${where}: not one of oneOf`]
        : []),
      ...(schema["not"] !== undefined && this.#check(value, schema["not"] as Schema, file, where).length === 0
        ? [`${where}: is what it must not be`]
        : []),
      ...(Array.isArray(value) ? this.#items(value, schema, file, where) : []),
      ...(isObject(value) ? this.#properties(value, schema, file, where) : []),
    ];
  }

  #items(value: Json[], schema: Schema, file: string, where: string): string[] {
    const items = schema["items"];
    return isObject(items) ? value.flatMap((item, i) => this.#check(item, items, file, `${where}[${i}]`)) : [];
  }

  #properties(value: Schema, schema: Schema, file: string, where: string): string[] {
    const properties = (schema["properties"] ?? {}) as Record<string, Schema>;
    const patterns = Object.entries((schema["patternProperties"] ?? {}) as Record<string, Schema>);
    const missing = ((schema["required"] ?? []) as string[]).filter((key) => !Object.hasOwn(value, key));
    const errors = missing.map((key) => `${where}: ${key} is missing`);
    for (const [key, item] of Object.entries(value)) {
      const own = Object.hasOwn(properties, key) ? properties[key] : undefined;
      const fitting = [
        ...(own === undefined ? [] : [own]),
        ...patterns.filter(([pattern]) => new RegExp(pattern).test(key)).map(([, part]) => part),
      ];
      for (const part of fitting) errors.push(...this.#check(item, part, file, `${where}.${key}`));
      const rest = schema["additionalProperties"];
      if (fitting.length === 0 && rest === false) errors.push(`${where}: ${key} is not known`);
      if (fitting.length === 0 && isObject(rest)) errors.push(...this.#check(item, rest, file, `${where}.${key}`));
    }
    return errors;
  }
}

function checkValue(value: Json, schema: Schema, where: string): string[] {
  const errors: string[] = [];
  const types = [schema["type"] ?? []].flat() as string[];
  if (types.length > 0 && !types.some((name) => isOfType(value, name)))
    errors.push(`${where}: is no ${types.join(" or ")}`);
  const choices = schema["enum"] as Json[] | undefined;
  if (choices !== undefined && !choices.includes(value))
    errors.push(`${where}: ${JSON.stringify(value)} is none of the enum`);
  if (typeof value === "number" && typeof schema["minimum"] === "number" && value < schema["minimum"])
    errors.push(`${where}: is below the minimum`);
  if (typeof value === "number" && typeof schema["maximum"] === "number" && value > schema["maximum"])
    errors.push(`${where}: is above the maximum`);
  if (typeof value === "string" && typeof schema["pattern"] === "string" && !new RegExp(schema["pattern"]).test(value))
    errors.push(`${where}: does not match ${schema["pattern"]}`);
  if (Array.isArray(value) && typeof schema["minItems"] === "number" && value.length < schema["minItems"])
    errors.push(`${where}: has too few items`);
  if (Array.isArray(value) && typeof schema["maxItems"] === "number" && value.length > schema["maxItems"])
    errors.push(`${where}: has too many items`);
  if (
    Array.isArray(value) &&
    schema["uniqueItems"] === true &&
    new Set(value.map((item) => JSON.stringify(item))).size < value.length
  )
    errors.push(`${where}: has an item twice`);
  return errors;
}

function isOfType(value: Json, type: string): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
