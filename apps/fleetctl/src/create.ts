import { dirname, join } from "node:path";
import type { DesiredState, UnitEntity } from "@keelson/fleet/client";
import { formatErrorChain } from "@keelson/types";
import {
  checkRequirements,
  hashOptions,
  isInstance,
  parseOptions,
  parseRequirements,
  parseUnitName,
  type UnitOption,
  UnitSyntaxError,
} from "@keelson/unit";
import { CommandError, type Context } from "./io.ts";
import { unitName, withType } from "./names.ts";
import { waitForState } from "./wait.ts";

/** Options of submit, load and start. */
export interface CreateOptions {
  readonly replace: boolean;
  /** Warnings about [X-Fleet] become errors. */
  readonly strict: boolean;
}

/** Desired states in which a command may replace a unit's text. */
const REPLACEABLE: Readonly<Record<string, readonly DesiredState[]>> = {
  submit: ["inactive"],
  load: ["inactive", "loaded"],
  start: ["inactive", "loaded", "launched"],
};

/**
 * Makes sure that each unit is in the registry. It comes from, in this order: the registry, the file, the template in
 * the registry, the template's file beside it. Source: fleet fleetctl.go, lazyCreateUnits. @throws CommandError
 */
export async function createUnits(
  context: Context,
  args: readonly string[],
  command: "submit" | "load" | "start",
  options: CreateOptions,
): Promise<void> {
  const created: string[] = [];
  for (const arg of args) {
    const path = withType(arg);
    const name = unitName(arg);
    try {
      const unit = await context.client.unit(name);
      const source = unit === undefined ? await newSource(context, path, name) : await localSource(context, path, name);
      if (unit !== undefined) {
        if (!mayReplace(context, unit, source, command, options)) continue;
      }
      if (source === undefined) continue;
      warn(context, name, source.options, options.strict);
      await context.client.createUnit(name, source.options, unit === undefined ? "inactive" : undefined);
      if (unit === undefined) created.push(name);
    } catch (error) {
      throw new CommandError(`Error creating units: ${formatErrorChain(error)}`);
    }
  }
  await waitForState(context, created, "inactive", command, { isBlocking: true, attempts: 5 });
}

interface Source {
  readonly options: readonly UnitOption[];
  /** For warnings: `local unit file x` or `local template unit file x@.service`. */
  readonly what: string;
}

/** What disk says of a unit that is in the registry; undefined when it says nothing. */
async function localSource({ io }: Context, path: string, name: string): Promise<Source | undefined> {
  const text = await io.readFile(path);
  if (text !== undefined) return { options: parse(text, path), what: `local unit file ${path}` };
  const info = parseUnitName(name);
  if (!isInstance(info) || info.template === undefined) return undefined;
  const templatePath = join(dirname(path), info.template);
  const template = await io.readFile(templatePath);
  if (template === undefined) return undefined;
  return { options: parse(template, templatePath), what: `local template unit file ${templatePath}` };
}

async function newSource(context: Context, path: string, name: string): Promise<Source> {
  const text = await context.io.readFile(path);
  if (text !== undefined) return { options: parse(text, path), what: path };
  const info = parseUnitName(name);
  if (!isInstance(info) || info.template === undefined) {
    throw new CommandError(`unable to find Unit(${name}) in Registry or on filesystem`);
  }
  const template = await context.client.unit(info.template);
  if (template !== undefined) return { options: template.options, what: info.template };
  const found = await localSource(context, path, name);
  if (found !== undefined) return found;
  throw new CommandError(`unable to find template Unit(${info.template}) in Registry or on filesystem`);
}

function mayReplace(
  { io }: Context,
  unit: UnitEntity,
  source: Source | undefined,
  command: string,
  { replace }: CreateOptions,
): boolean {
  if (source === undefined) return false;
  if (hashOptions(source.options) === hashOptions(unit.options)) {
    if (replace) io.out(`Found same Unit(${unit.name}) in Registry, nothing to do\n`);
    return false;
  }
  if (!replace) {
    io.err(`WARNING: Unit ${unit.name} in registry differs from ${source.what}. Add --replace to override.`);
    return false;
  }
  if (REPLACEABLE[command]?.includes(unit.desiredState) === true) return true;
  io.err(`Warning: can not replace Unit(${unit.name}) in state '${unit.desiredState}', use the appropriate command`);
  return false;
}

function parse(text: string, path: string): UnitOption[] {
  try {
    return parseOptions(text);
  } catch (error) {
    if (error instanceof UnitSyntaxError) throw new CommandError(`${path}: ${error.message}`);
    throw error;
  }
}

/** Says what fleet would ignore in silence, before the unit is sent. @throws CommandError when strict */
function warn({ io }: Context, name: string, options: readonly UnitOption[], isStrict: boolean): void {
  const { requirements, warnings } = parseRequirements(options, parseUnitName(name));
  checkRequirements(requirements);
  for (const warning of warnings) {
    if (isStrict) throw new CommandError(`Unit ${name}: ${warning}`);
    io.err(`WARNING: Unit ${name}: ${warning}`);
  }
}
