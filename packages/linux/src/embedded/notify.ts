import { chmodSync, existsSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock } from "@keelson/types";

/** Bytes read of a unit's notifications; a unit that writes more has lost its mind. */
const NOTIFY_BYTES_MAX = 64 * 1024;
/** In case the file system's change events do not reach us (some network and container file systems). */
const FALLBACK_POLL_MS = 500;

/**
 * Stands first in a unit's PATH. Node has no datagram sockets of the Unix kind, so NOTIFY_SOCKET cannot be served; this
 * shim writes what systemd-notify(1) would send to a file instead.
 */
const SHIM = `#!/bin/sh
# systemd-notify of Keelson's embedded unit manager: appends notifications to a file that the manager watches.
if [ -z "$KEELSON_NOTIFY_FILE" ]; then
  echo "systemd-notify: this service has no Type=notify" >&2
  exit 1
fi
out=
while [ $# -gt 0 ]; do
  case "$1" in
    --ready) out="$out\${out:+
}READY=1" ;;
    --stopping) out="$out\${out:+
}STOPPING=1" ;;
    --reloading) out="$out\${out:+
}RELOADING=1" ;;
    --status) shift; out="$out\${out:+
}STATUS=$1" ;;
    --status=*) out="$out\${out:+
}STATUS=\${1#--status=}" ;;
    --booted) exit 0 ;;
    --pid|--pid=*|--uid=*|--no-block) ;;
    *=*) out="$out\${out:+
}$1" ;;
    *) echo "systemd-notify: $1 is not supported by the embedded unit manager" >&2; exit 1 ;;
  esac
  shift
done
if [ -n "$out" ]; then printf '%s\\n' "$out" >>"$KEELSON_NOTIFY_FILE"; fi
`;

/** Writes the shim to `directory` and returns the directory for PATH. */
export function installNotifyShim(directory: string): string {
  const path = join(directory, "systemd-notify");
  if (!existsSync(path) || readFileSync(path, "utf8") !== SHIM) writeFileSync(path, SHIM);
  chmodSync(path, 0o755);
  return directory;
}

/** One invocation's notifications. */
export class NotifyFile implements Disposable {
  readonly path: string;
  readonly #onReady: () => void;
  readonly #watcher: ReturnType<typeof watch>;
  readonly #poll: Disposable;

  /** Calls `onReady` once, when the unit says READY=1. */
  constructor(path: string, clock: Clock, onReady: () => void) {
    this.path = path;
    this.#onReady = onReady;
    writeFileSync(path, "", { mode: 0o600 });
    this.#watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
      if (name === null || name === basename(path)) this.#check();
    });
    this.#watcher.on("error", () => {}); // the poll remains
    this.#poll = clock.every(FALLBACK_POLL_MS, () => this.#check());
  }

  #check(): void {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8").slice(0, NOTIFY_BYTES_MAX);
    } catch {
      return; // removed with the invocation
    }
    if (!text.split("\n").includes("READY=1")) return;
    this[Symbol.dispose]();
    this.#onReady();
  }

  /** Stops listening. The file stays until the invocation ends: the unit may go on to send its status. */
  [Symbol.dispose](): void {
    this.#watcher.close();
    this.#poll[Symbol.dispose]();
  }

  /** Removes the file. */
  remove(): void {
    this[Symbol.dispose]();
    rmSync(this.path, { force: true });
  }
}
