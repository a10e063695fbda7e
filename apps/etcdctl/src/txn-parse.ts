import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CompareSchema, RequestOpSchema } from "@keelson/proto";
import { Command } from "commander";
import {
  type DelFlags,
  delOptions,
  delRequest,
  type GetFlags,
  getOptions,
  getRequest,
  type PutFlags,
  putOptions,
  putRequest,
} from "./commands/kv.ts";
import { Exit, ExitError } from "./exit.ts";
import { parseInt64 } from "./go.ts";
import { keyBytes } from "./ranges.ts";
import { unquote } from "./unquote.ts";
import { splitWords } from "./words.ts";

type CompareInit = MessageInitShape<typeof CompareSchema>;
type RequestOpInit = MessageInitShape<typeof RequestOpSchema>;

function invalid(message: string): never {
  throw new ExitError(Exit.INVALID_INPUT, message);
}

const TARGETS: Readonly<Record<string, "version" | "createRevision" | "modRevision" | "value" | "lease">> = {
  ver: "version",
  version: "version",
  c: "createRevision",
  create: "createRevision",
  m: "modRevision",
  mod: "modRevision",
  val: "value",
  value: "value",
  lease: "lease",
};
const TARGET_NUMBER = { version: 0, createRevision: 1, modRevision: 2, value: 3, lease: 4 } as const;
const RESULT_NUMBER: Readonly<Record<string, 0 | 1 | 2 | 3>> = { "=": 0, ">": 1, "<": 2, "!=": 3 };

/** Parses `mod("key") > "0"` and its like. @throws {ExitError} 3 */
export function parseCompare(line: string): CompareInit {
  const match = /^\s*(\w+)\(("(?:[^"\\]|\\.)*")\)\s*(\S+)\s*("(?:[^"\\]|\\.)*")\s*$/.exec(line);
  const key = unquote(match?.[2] ?? "");
  const value = unquote(match?.[4] ?? "");
  if (match === null || key === undefined || value === undefined) return invalid(`malformed comparison: ${line}`);
  const name = match[1] ?? "";
  const target = Object.hasOwn(TARGETS, name) ? TARGETS[name] : undefined;
  if (target === undefined) return invalid(`malformed comparison: ${line} (unknown target ${name})`);
  const operator = match[3] ?? "";
  const result = Object.hasOwn(RESULT_NUMBER, operator) ? RESULT_NUMBER[operator] : undefined;
  if (result === undefined) return invalid(`malformed comparison: ${line} (unknown operator ${operator})`);
  const common = { key: keyBytes(key), result, target: TARGET_NUMBER[target] };
  if (target === "value") return { ...common, targetUnion: { case: "value", value: keyBytes(value) } };
  const number = parseInt64(value, target === "lease" ? 16 : 10);
  if (typeof number !== "bigint") return invalid(`invalid txn compare request: ${line}`);
  return { ...common, targetUnion: { case: target, value: number } };
}

/** Parses a `get`, `put` or `del` line with its flags. @throws {ExitError} */
export async function parseRequest(line: string): Promise<RequestOpInit> {
  const [name, ...words] = splitWords(line);
  let request: RequestOpInit | undefined;
  const command = new Command(name)
    .exitOverride()
    .configureOutput({ writeOut() {}, writeErr() {} })
    .helpOption(false);
  if (name === "get") {
    getOptions(command).action((_k, _e, flags: GetFlags) => {
      request = { request: { case: "requestRange", value: getRequest(command.args, flags) } };
    });
  } else if (name === "put") {
    putOptions(command).action(async (_k, _v, flags: PutFlags) => {
      request = { request: { case: "requestPut", value: await putRequest(command.args, flags, undefined) } };
    });
  } else if (name === "del") {
    delOptions(command).action((_k, _e, flags: DelFlags) => {
      request = { request: { case: "requestDeleteRange", value: delRequest(command.args, flags) } };
    });
  } else return invalid(`invalid txn request: ${line}`);
  try {
    await command.parseAsync(words, { from: "user" });
  } catch (error) {
    if (error instanceof ExitError) throw error;
    return invalid(`invalid txn request: ${line}`);
  }
  return request ?? invalid(`invalid txn request: ${line}`);
}
