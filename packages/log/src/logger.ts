import { formatErrorChain, type LogFields, type Logger, type LogLevel } from "@keelson/types";
import { type DestinationStream, destination, type Logger as Pino, pino } from "pino";

export interface LoggerOptions {
  /** Lines below this level are dropped. Default `info`. */
  readonly level?: LogLevel;
  /** Names the program or part of it in each line. */
  readonly component: string;
  /** Where lines go; default standard error, written synchronously so that a crash loses none. */
  readonly destination?: DestinationStream;
  /** Prefix each line with the journald priority, such as `<6>`. */
  readonly journaldPriority?: boolean;
}

const PRIORITY: Record<string, number> = { debug: 7, info: 6, warn: 4, error: 3, fatal: 2 };

/**
 * A logger that writes one JSON object a line with the keys `level ts component msg`, close to etcd's zap output.
 * `ts` is RFC 3339 with milliseconds.
 */
export function createLogger(options: LoggerOptions): Logger {
  const sink = options.destination ?? destination({ dest: 2, sync: true });
  const out = options.journaldPriority === true ? withPriority(sink) : sink;
  const root = pino(
    {
      level: options.level ?? "info",
      base: null,
      messageKey: "msg",
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: (e: unknown) => formatErrorChain(e) },
    },
    out,
  ).child({ component: options.component });
  return wrap(root);
}

function wrap(p: Pino): Logger {
  const at = (level: "debug" | "info" | "warn" | "error") => (msg: string, fields?: LogFields) => {
    if (fields === undefined) p[level](msg);
    else p[level](stringifyBigints(fields), msg);
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => wrap(p.child(stringifyBigints(fields))),
  };
}

/** Ids are bigint and JSON has none: print them in hex as etcd does. */
function stringifyBigints(fields: LogFields): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) out[key] = typeof value === "bigint" ? value.toString(16) : value;
  return out;
}

function withPriority(sink: DestinationStream): DestinationStream {
  return {
    write(line: string) {
      const level = /"level":"(\w+)"/.exec(line)?.[1] ?? "info";
      sink.write(`<${PRIORITY[level] ?? 6}>${line}`);
    },
  };
}
