import type { Logger } from "@keelson/types";

/** The part of the logging port that Raft uses: upstream's lines at upstream's levels, without fields. */
export type RaftLogger = Pick<Logger, "debug" | "info" | "warn" | "error">;
