import { CoreError } from "@keelson/types";
import {
  type ExecCommand,
  expandSpecifiers,
  isVariableName,
  parseBoolean,
  parseEnvironment,
  parseExec,
  parseSignal,
  parseTimeSpan,
  parseUnitName,
  type SpecifierHost,
  splitWords,
  type UnitDocument,
  UnitValueError,
  valueOf,
  valuesOf,
} from "@keelson/unit";
import { unsupportedSettings } from "./supported.ts";

export type ServiceType = "simple" | "exec" | "oneshot" | "notify";
export type RestartPolicy = "no" | "always" | "on-success" | "on-failure" | "on-abnormal" | "on-abort" | "on-watchdog";
export type KillMode = "control-group" | "mixed" | "process" | "none";
/** Where a stream goes: the unit's journal, nowhere, or a file. */
export type Output =
  | { readonly to: "journal" | "null" }
  | { readonly to: "file" | "append" | "truncate"; readonly path: string };

/** Exit codes and signals that a setting names. */
export interface ExitSet {
  readonly codes: ReadonlySet<number>;
  readonly signals: ReadonlySet<number>;
}

/** A service's settings with defaults filled in, specifiers replaced. Times in milliseconds. Source: systemd.service(5). */
export interface ServiceConfig {
  readonly name: string;
  readonly type: ServiceType;
  readonly remainAfterExit: boolean;
  readonly startPre: readonly ExecCommand[];
  readonly start: readonly ExecCommand[];
  readonly startPost: readonly ExecCommand[];
  readonly stop: readonly ExecCommand[];
  readonly stopPost: readonly ExecCommand[];
  readonly restart: RestartPolicy;
  readonly restartMs: number;
  readonly successExit: ExitSet;
  readonly restartPreventExit: ExitSet;
  readonly restartForceExit: ExitSet;
  readonly startLimitIntervalMs: number;
  readonly startLimitBurst: number;
  readonly timeoutStartMs: number;
  readonly timeoutStopMs: number;
  readonly killMode: KillMode;
  readonly killSignal: number;
  readonly finalKillSignal: number;
  readonly sendSigkill: boolean;
  readonly sendSighup: boolean;
  readonly environment: readonly (readonly [string, string])[];
  readonly environmentFiles: readonly { readonly path: string; readonly optional: boolean }[];
  readonly passEnvironment: readonly string[];
  readonly unsetEnvironment: readonly string[];
  readonly workingDirectory?: { readonly path: string; readonly optional: boolean };
  readonly standardOutput: Output;
  readonly standardError: Output;
  readonly requires: readonly string[];
  readonly wants: readonly string[];
  readonly after: readonly string[];
  readonly before: readonly string[];
  readonly conflicts: readonly string[];
  /** One sentence for each setting that has no effect here. */
  readonly warnings: readonly string[];
}

/** A unit file that parses but makes no service; systemd's load state "bad-setting". */
export class BadSettingError extends CoreError<"ERR_BAD_SETTING"> {
  readonly code = "ERR_BAD_SETTING";
}

/** Why a notify service may wait in vain. */
export const NOTIFY_WARNING =
  "readiness is heard from the program systemd-notify only: there is no NOTIFY_SOCKET under the embedded unit manager";

const DEFAULT_TIMEOUT_MS = 90_000;

/**
 * Reads a service unit's settings. Pure.
 *
 * @throws BadSettingError naming the setting
 */
export function parseService(name: string, document: UnitDocument, host: SpecifierHost): ServiceConfig {
  return new ServiceReader(name, document, host).read();
}

class ServiceReader {
  readonly #name: string;
  readonly #document: UnitDocument;
  readonly #expand: (value: string) => string;
  readonly #warnings: string[];

  constructor(name: string, document: UnitDocument, host: SpecifierHost) {
    this.#name = name;
    this.#document = document;
    const info = parseUnitName(name);
    this.#expand = (value) => expandSpecifiers(value, info, host);
    this.#warnings = unsupportedSettings(document);
  }

  read(): ServiceConfig {
    const type = this.#type();
    const timeout = this.#time("TimeoutSec");
    const workingDirectory = this.#workingDirectory();
    const standardOutput = this.#output("StandardOutput", { to: "journal" });
    const config: ServiceConfig = {
      name: this.#name,
      type,
      remainAfterExit: this.#boolean("RemainAfterExit", false),
      startPre: this.#exec("ExecStartPre"),
      start: this.#exec("ExecStart"),
      startPost: this.#exec("ExecStartPost"),
      stop: this.#exec("ExecStop"),
      stopPost: this.#exec("ExecStopPost"),
      restart: this.#oneOf("Restart", [
        "no",
        "always",
        "on-success",
        "on-failure",
        "on-abnormal",
        "on-abort",
        "on-watchdog",
      ]),
      restartMs: this.#time("RestartSec") ?? 100,
      successExit: this.#exits("SuccessExitStatus"),
      restartPreventExit: this.#exits("RestartPreventExitStatus"),
      restartForceExit: this.#exits("RestartForceExitStatus"),
      ...this.#startLimit(),
      // A oneshot may take as long as it likes unless told otherwise. Zero means no limit, as in systemd.
      timeoutStartMs: limit(this.#time("TimeoutStartSec") ?? timeout ?? (type === "oneshot" ? 0 : DEFAULT_TIMEOUT_MS)),
      timeoutStopMs: limit(this.#time("TimeoutStopSec") ?? timeout ?? DEFAULT_TIMEOUT_MS),
      killMode: this.#oneOf("KillMode", ["control-group", "mixed", "process", "none"]),
      killSignal: this.#signal("KillSignal", 15),
      finalKillSignal: this.#signal("FinalKillSignal", 9),
      sendSigkill: this.#boolean("SendSIGKILL", true),
      sendSighup: this.#boolean("SendSIGHUP", false),
      environment: this.#values("Environment").flatMap((value) =>
        this.#setting("Environment", () => parseEnvironment(value).map(([n, v]) => [n, this.#expand(v)] as const)),
      ),
      environmentFiles: this.#values("EnvironmentFile").map((value) => this.#path("EnvironmentFile", value)),
      passEnvironment: this.#words("PassEnvironment").filter(isVariableName),
      unsetEnvironment: this.#words("UnsetEnvironment"),
      ...(workingDirectory === undefined ? {} : { workingDirectory }),
      standardOutput,
      standardError: this.#output("StandardError", standardOutput),
      requires: [...this.#unitNames("Requires"), ...this.#unitNames("BindsTo"), ...this.#unitNames("Requisite")],
      wants: this.#unitNames("Wants"),
      after: this.#unitNames("After"),
      before: this.#unitNames("Before"),
      conflicts: this.#unitNames("Conflicts"),
      warnings: this.#warnings,
    };
    this.#check(config);
    return config;
  }

  #check(config: ServiceConfig): void {
    const { type, start, restart } = config;
    if (type === "oneshot") {
      if (start.length === 0 && config.stop.length === 0) this.#refuse("Type=oneshot needs ExecStart= or ExecStop=");
      if (restart === "always" || restart === "on-success")
        this.#refuse(`Restart=${restart} cannot be used with Type=oneshot`);
    } else if (start.length === 0) this.#refuse("the service has no ExecStart=");
    else if (start.length > 1)
      this.#refuse(`the service has ${start.length} ExecStart= lines; only Type=oneshot may have several`);
  }

  #type(): ServiceType {
    const value = this.#value("Type") ?? (this.#values("ExecStart").length === 0 ? "oneshot" : "simple");
    if (value === "notify") this.#warn(NOTIFY_WARNING);
    if (value === "simple" || value === "exec" || value === "oneshot" || value === "notify") return value;
    if (value === "idle") return "simple"; // simple, after a delay that only matters on a boot console
    return this.#refuse(
      `Type=${value} is not supported by the embedded unit manager; use simple, exec, notify or oneshot, or run under systemd`,
    );
  }

  #startLimit(): { startLimitIntervalMs: number; startLimitBurst: number } {
    const read = (section: string, key: string) => valueOf(this.#document, section, key);
    const interval =
      read("Unit", "StartLimitIntervalSec") ??
      read("Unit", "StartLimitInterval") ??
      read("Service", "StartLimitInterval");
    const burst = read("Unit", "StartLimitBurst") ?? read("Service", "StartLimitBurst");
    const number = Number(burst ?? "5");
    if (!Number.isSafeInteger(number) || number < 0) this.#refuse(`StartLimitBurst=${burst} is not a number`);
    return {
      startLimitIntervalMs: this.#setting("StartLimitIntervalSec", () => parseTimeSpan(interval ?? "10")),
      startLimitBurst: number,
    };
  }

  #exec(key: string): ExecCommand[] {
    return this.#values(key).flatMap((line) =>
      this.#setting(key, () => {
        const commands = parseExec(line).map((command) => ({
          ...command,
          path: this.#expand(command.path),
          args: command.args.map((arg) => this.#expand(arg)),
        }));
        if (commands.some((c) => c.privilege !== undefined)) {
          this.#warn(`the prefixes + and ! of ${key}= have no effect: every command runs as the unit manager's user`);
        }
        return commands;
      }),
    );
  }

  #output(key: string, inherited: Output): Output {
    const value = this.#value(key);
    if (value === undefined || value === "inherit") return inherited;
    if (value === "null") return { to: "null" };
    const file = /^(file|append|truncate):(\/.*)$/s.exec(value);
    if (file !== null) return { to: file[1] as "file" | "append" | "truncate", path: this.#expand(file[2] ?? "") };
    if (value !== "journal") this.#warn(`${key}=${value} is not supported here; the unit's journal is used`);
    return { to: "journal" };
  }

  #workingDirectory(): { path: string; optional: boolean } | undefined {
    const value = this.#value("WorkingDirectory");
    if (value === undefined) return undefined;
    if (value === "~" || value === "-~")
      return { path: this.#setting("WorkingDirectory", () => this.#expand("%h")), optional: true };
    return this.#path("WorkingDirectory", value);
  }

  #path(key: string, value: string): { path: string; optional: boolean } {
    const optional = value.startsWith("-");
    const path = this.#setting(key, () => this.#expand(optional ? value.slice(1) : value));
    if (!path.startsWith("/")) this.#refuse(`${key}=${value} is not an absolute path`);
    return { path, optional };
  }

  #exits(key: string): ExitSet {
    const codes = new Set<number>();
    const signals = new Set<number>();
    for (const word of this.#words(key)) {
      if (/^\d{1,3}$/.test(word)) codes.add(Number(word));
      else signals.add(this.#setting(key, () => parseSignal(word)));
    }
    return { codes, signals };
  }

  #unitNames(key: string): string[] {
    return valuesOf(this.#document, "Unit", key).flatMap((value) =>
      this.#setting(key, () => splitWords(value).map((word) => this.#expand(word.text))),
    );
  }

  #words(key: string): string[] {
    return this.#values(key).flatMap((value) => this.#setting(key, () => splitWords(value).map((word) => word.text)));
  }

  #oneOf<T extends string>(key: string, allowed: readonly [T, ...T[]]): T {
    const value = this.#value(key);
    if (value === undefined) return allowed[0];
    return allowed.find((one) => one === value) ?? this.#refuse(`${key}=${value} is not one of ${allowed.join(", ")}`);
  }

  #boolean(key: string, fallback: boolean): boolean {
    const value = this.#value(key);
    return value === undefined ? fallback : this.#setting(key, () => parseBoolean(value));
  }

  #time(key: string): number | undefined {
    const value = this.#value(key);
    return value === undefined ? undefined : this.#setting(key, () => parseTimeSpan(value));
  }

  #signal(key: string, fallback: number): number {
    const value = this.#value(key);
    return value === undefined ? fallback : this.#setting(key, () => parseSignal(value));
  }

  #value(key: string): string | undefined {
    return valueOf(this.#document, "Service", key);
  }

  #values(key: string): string[] {
    return valuesOf(this.#document, "Service", key);
  }

  #setting<T>(key: string, read: () => T): T {
    try {
      return read();
    } catch (cause) {
      if (!(cause instanceof UnitValueError)) throw cause;
      throw new BadSettingError(`${key}= of unit ${this.#name} is not valid`, { unit: this.#name, key }, { cause });
    }
  }

  #warn(text: string): void {
    if (!this.#warnings.includes(text)) this.#warnings.push(text);
  }

  #refuse(problem: string): never {
    throw new BadSettingError(`unit ${this.#name} has a bad setting: ${problem}`, { unit: this.#name });
  }
}

function limit(ms: number): number {
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}
