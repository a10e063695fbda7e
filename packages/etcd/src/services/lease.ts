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
  const wait = new Interruptible();
  using _timer = losesLeader(server, context, (error) => wait.interrupt(error));
  const iterator = requests[Symbol.asyncIterator]();
  for (;;) {
    const step = await wait.for(iterator.next());
    if (step.done === true) return;
    // Before the renewal: the revision may not be later than the instant at which the lease was alive.
    const header = server.member.state.header(server.member.term);
    const { ID } = step.value;
    const ttlS = await wait.for(server.lease.renew(ID));
    yield { $typeName: "etcdserverpb.LeaseKeepAliveResponse", header, ID, TTL: BigInt(ttlS) };
  }
}

/** Waiting that can be broken off. (`Promise.race` with one long-lived promise would remember every wait for ever.) */
class Interruptible {
  #error: unknown;
  #reject: ((error: unknown) => void) | undefined;

  interrupt(error: unknown): void {
    this.#error ??= error;
    this.#reject?.(error);
  }

  for<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      this.#reject = reject;
      promise.then(resolve, reject);
    });
  }
}
