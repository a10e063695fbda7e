import { ask } from "../edge/http-request.ts";
import type { Check } from "./gate.ts";

const CALL_MS = 5_000;
const BYTES_MAX = 64 * 1024;

/**
 * fleetd answers its API, and is in the cluster. That it says it is not is passed over only while etcd's majority is away
 * for reasons outside this machine (`findings`, of the etcd check).
 */
export function fleetdCheck(
  socketPath: string,
  findings: { readonly isMajorityAway: boolean } = { isMajorityAway: false },
): Check {
  const get = async (path: string, signal: AbortSignal) =>
    await ask({ to: { socketPath, path }, timeoutMs: CALL_MS, bytesMax: BYTES_MAX, signal });
  return {
    name: "fleetd",
    isRequired: true,
    look: async (signal) => {
      const live = await get("/livez", signal);
      if (live.status !== 200) return { outcome: "failed", detail: `GET /livez is answered with ${live.status}` };
      const health = await get("/health", signal);
      if (health.status === 200) return { outcome: "passed", detail: "" };
      const reason = reasonOf(health.body);
      if (findings.isMajorityAway) return { outcome: "passed", detail: `${reason}; etcd's majority is away` };
      return { outcome: "failed", detail: reason };
    },
  };
}

function reasonOf(body: string): string {
  try {
    const { reason } = JSON.parse(body) as { reason?: unknown };
    if (typeof reason === "string" && reason !== "") return reason.slice(0, 500);
  } catch {
    // Said below.
  }
  return "it says that it is not healthy";
}
