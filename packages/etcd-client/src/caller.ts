import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Metadata, RpcError, Status } from "@keelson/grpc";
import { Auth } from "@keelson/proto";
import type { Clock, Logger } from "@keelson/types";
import { EtcdError, toEtcdError } from "./errors.ts";
import { canceled, type Endpoint, type EndpointPool } from "./pool.ts";
import type { CallLimits } from "./types.ts";

export interface CallerOptions {
  readonly pool: EndpointPool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly requestTimeoutMs: number;
  readonly credentials: { readonly user: string; readonly password: string } | undefined;
}

/** Whether repeating the request could change more than doing it once. */
export type CallKind = "read" | "write";

// The least a read waits for one endpoint before it tries another.
const READ_ATTEMPT_MIN_MS = 500;
const RETRY_PAUSE_MS = 20;

/**
 * Unary calls with failover. A request that certainly never left, or that was certainly refused before it could be
 * applied, goes to the next endpoint. Reads also do so after any failure to answer. A write whose outcome is unknown is
 * never repeated: its error says `outcomeUnknown`.
 */
export class Caller {
  readonly #options: CallerOptions;
  #token: Promise<string> | undefined;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  get pool(): EndpointPool {
    return this.#options.pool;
  }

  /** @throws {EtcdError} */
  async unary<I extends DescMessage, O extends DescMessage>(
    kind: CallKind,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    limits: CallLimits = {},
  ): Promise<MessageShape<O>> {
    const { clock, pool } = this.#options;
    const deadlineMs = clock.monotonicMs() + (limits.timeoutMs ?? this.#options.requestTimeoutMs);
    const failed = new Set<Endpoint>();
    let lastError: EtcdError | undefined;
    for (let attempt = 0; ; attempt++) {
      const remainingMs = deadlineMs - clock.monotonicMs();
      if (remainingMs <= 0 && attempt > 0) throw lastError ?? deadlineExceeded();
      if (attempt > 0 && failed.size >= pool.size) await this.#pause(remainingMs, limits.signal);
      const endpoint = pool.connected(failed) ?? (await this.#pick(failed, remainingMs, limits.signal, lastError));
      try {
        const timeoutMs = this.#attemptMs(kind, deadlineMs - clock.monotonicMs());
        const metadata = await this.metadata(endpoint);
        const reply = await endpoint.channel.unary(method, request, { timeoutMs, metadata, ...signalOf(limits) });
        pool.worked(endpoint);
        return reply;
      } catch (error) {
        lastError = toEtcdError(error, { write: kind === "write", endpoint: endpoint.url });
        const verdict = this.#judge(kind, error, lastError, limits.signal);
        if (verdict !== "refused") {
          pool.failed(endpoint);
          failed.add(endpoint);
        }
        if (verdict === "final" || verdict === "refused") throw lastError;
        this.#options.logger.debug("retrying on another endpoint", {
          method: method.name,
          endpoint: endpoint.url,
          error,
        });
      }
    }
  }

  /** Metadata of a call: the auth token, when there are credentials, and `extra`. */
  async metadata(endpoint: Endpoint, extra: Readonly<Record<string, string>> = {}): Promise<Metadata> {
    const metadata = Metadata.of(extra);
    if (this.#options.credentials === undefined) return metadata;
    this.#token ??= this.#authenticate(endpoint, this.#options.credentials);
    try {
      return metadata.add("token", await this.#token);
    } catch (error) {
      this.#token = undefined;
      throw error;
    }
  }

  /** After a server refused the token: the next call gets a new one. */
  forgetToken(): void {
    this.#token = undefined;
  }

  async #authenticate(endpoint: Endpoint, { user, password }: { user: string; password: string }): Promise<string> {
    const reply = await endpoint.channel.unary(
      Auth.method.authenticate,
      { name: user, password },
      { timeoutMs: this.#options.requestTimeoutMs },
    );
    return reply.token;
  }

  async #pick(
    failed: ReadonlySet<Endpoint>,
    remainingMs: number,
    signal: AbortSignal | undefined,
    lastError: EtcdError | undefined,
  ): Promise<Endpoint> {
    const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(remainingMs)));
    try {
      return await this.pool.pick(failed, signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
    } catch (error) {
      if (signal?.aborted === true) throw canceled(signal);
      // What a server answered tells more than that afterwards none was left.
      throw lastError !== undefined && toEtcdError(error).code !== "ERR_CLIENT_CLOSED" ? lastError : error;
    }
  }

  #attemptMs(kind: CallKind, remainingMs: number): number {
    if (kind === "write" || this.pool.size === 1) return Math.max(1, remainingMs);
    return Math.max(1, Math.min(remainingMs, Math.max(READ_ATTEMPT_MIN_MS, remainingMs / 2)));
  }

  /** `retry` on another endpoint, `refused` by a healthy server, or `final` with the endpoint under suspicion. */
  #judge(
    kind: CallKind,
    raw: unknown,
    error: EtcdError,
    signal: AbortSignal | undefined,
  ): "retry" | "refused" | "final" {
    if (signal?.aborted === true || error.code === "ERR_CLIENT_CLOSED") return "refused";
    if (raw instanceof RpcError && raw.notSent) return "retry";
    if (error.code === "ERR_NOT_SUPPORTED_FOR_LEARNER") return this.pool.size > 1 ? "retry" : "refused";
    if (TOKEN_REFUSED.has(error.code) && this.#options.credentials !== undefined && this.#token !== undefined) {
      this.#token = undefined;
      return "retry";
    }
    const unanswered = error.status === Status.UNAVAILABLE || error.status === Status.DEADLINE_EXCEEDED;
    if (!unanswered) return "refused";
    return kind === "read" ? "retry" : "final";
  }

  #pause(remainingMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.#options.clock.after(Math.min(RETRY_PAUSE_MS, Math.max(1, remainingMs)), done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }
}

const TOKEN_REFUSED: ReadonlySet<string> = new Set([
  "ERR_INVALID_AUTH_TOKEN",
  "ERR_AUTH_OLD_REVISION",
  "ERR_USER_EMPTY",
]);

function signalOf(limits: CallLimits): { signal?: AbortSignal } {
  return limits.signal === undefined ? {} : { signal: limits.signal };
}

function deadlineExceeded(): EtcdError {
  return new EtcdError("ERR_DEADLINE_EXCEEDED", "context deadline exceeded", { status: Status.DEADLINE_EXCEEDED });
}
