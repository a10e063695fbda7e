import { create } from "@bufbuild/protobuf";
import { Health, HealthCheckResponse_ServingStatus, HealthCheckResponseSchema } from "@keelson/proto/health";
import { type BoundService, type CallContext, implement } from "./service.ts";
import { RpcError, Status } from "./status.ts";

type Serving = "SERVING" | "NOT_SERVING";

/** grpc.health.v1: what a server says of itself. The service `""` (the server as a whole) is SERVING from the start. */
export class HealthReporter {
  readonly #states = new Map<string, Serving>([["", "SERVING"]]);
  readonly #watchers = new Set<() => void>();
  /** To be given to the server. */
  readonly service: BoundService = implement(Health, {
    check: ({ service }) => {
      const state = this.#states.get(service);
      if (state === undefined) throw new RpcError(Status.NOT_FOUND, "unknown service");
      return reply(state);
    },
    watch: ({ service }, context) => this.#watch(service, context),
  });

  /** Changes a service's state; watchers hear of it. */
  set(service: string, state: Serving): void {
    this.#states.set(service, state);
    for (const wake of this.#watchers) wake();
  }

  async *#watch(service: string, { signal }: CallContext) {
    let wake = (): void => undefined;
    const onChange = () => wake();
    this.#watchers.add(onChange);
    signal.addEventListener("abort", onChange, { once: true });
    try {
      let last: Serving | "SERVICE_UNKNOWN" | undefined;
      while (!signal.aborted) {
        const changed = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const state = this.#states.get(service) ?? "SERVICE_UNKNOWN";
        if (state !== last) yield reply(state);
        last = state;
        // A change while the reply was being sent has already resolved this.
        await changed;
      }
    } finally {
      this.#watchers.delete(onChange);
    }
  }
}

function reply(state: Serving | "SERVICE_UNKNOWN") {
  return create(HealthCheckResponseSchema, { status: HealthCheckResponse_ServingStatus[state] });
}
