import type { EtcdClient } from "@keelson/etcd-client";
import type { Command } from "commander";
import { Exit, ExitError } from "./exit.ts";
import type { Globals } from "./globals.ts";
import type { Io } from "./io.ts";
import type { OutputFormat, Printer } from "./printer/printer.ts";

/** What a command gets: its surroundings, and the client and printer that the global flags ask for. */
export interface Context {
  readonly io: Io;
  /** The global flags as they are for `command`. @throws {ExitError} */
  globals(command: Command): Globals;
  /** A client of the given endpoints, or of those of the flags; closed when the program ends. */
  client(command: Command, endpoints?: readonly string[]): Promise<EtcdClient>;
  printer(command: Command, options?: { valueOnly?: boolean }): Promise<Printer>;
}

/** Wraps a call so that its failure ends the program with a code and perhaps a text around the error's. */
export async function failing<T>(
  promise: Promise<T>,
  code: number = Exit.ERROR,
  text: (message: string) => string = (message) => message,
): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof ExitError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new ExitError(code, text(message), { cause: error });
  }
}

export const FORMATS: readonly OutputFormat[] = ["fields", "json", "protobuf", "simple", "table"];
