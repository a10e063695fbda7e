import { type BoundService, type CallContext, implement } from "@keelson/grpc";
import { Lease, type LeaseKeepAliveRequest, type LeaseKeepAliveResponse } from "@keelson/proto";
import type { EtcdServer } from "../server.ts";
import { losesLeader } from "./require-leader.ts";

/** etcdserverpb.Lease. */
export function leaseService(server: EtcdServer): BoundService {
  return implement(Lease, {
    leaseGrant: (req) => server.lease.grant(req),
    leaseRevoke: (req) => server.lease.revoke(req),
    leaseTimeToLive: (req) => server.lease.timeToLive(req),
    leaseLeases: () => server.lease.leases(),
    leaseKeepAlive: (requests, context) => keepAlive(server, requests, context),
  });
}

async function* keepAlive(
  server: EtcdServer,
  requests: AsyncIterable<LeaseKeepAliveRequest>,
  context: CallContext,
): AsyncGenerator<LeaseKeepAliveResponse> {
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => undefined);
  using _timer = losesLeader(server, context, lost.reject);
  const iterator = requests[Symbol.asyncIterator]();
  for (;;) {
    const step = await Promise.race([iterator.next(), lost.promise]);
    if (step.done === true) return;
    // Before the renewal: the revision may not be later than the instant at which the lease was alive.
    const header = server.member.state.header(server.member.term);
    const { ID } = step.value;
    const ttlS = await Promise.race([server.lease.renew(ID), lost.promise]);
    yield { $typeName: "etcdserverpb.LeaseKeepAliveResponse", header, ID, TTL: BigInt(ttlS) };
  }
}
