import type { CallContext } from "@keelson/grpc";
import { EtcdError } from "../core/errors.ts";
import type { EtcdServer } from "../server.ts";

/** Elections after which a member without a leader tells its streams. */
const ELECTIONS = 3;

/** Whether the caller prefers an error to an answer from a member that is cut off. */
export function wantsLeader(context: CallContext): boolean {
  return context.metadata.get("hasleader") === "true";
}

/** For a stream that wants a leader: calls `lost` when there has been none for three elections. */
export function losesLeader(
  server: EtcdServer,
  context: CallContext,
  lost: (error: EtcdError) => void,
): Disposable | undefined {
  if (!wantsLeader(context)) return undefined;
  const { electionMs } = server.config;
  let withoutMs = 0;
  return server.clock.every(electionMs, () => {
    withoutMs = server.member.leader === 0n ? withoutMs + electionMs : 0;
    if (withoutMs >= ELECTIONS * electionMs) lost(new EtcdError("ERR_NO_LEADER"));
  });
}
