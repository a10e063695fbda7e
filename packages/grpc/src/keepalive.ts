import type { ServerHttp2Session } from "node:http2";

export interface KeepAliveOptions {
  /** Between two pings of a connection, milliseconds. Default 2 h. 0 turns pings off. */
  readonly intervalMs?: number;
  /** Without an answer for this long the connection is cut. Default 20 s. */
  readonly timeoutMs?: number;
}

/** Pings every connection of a server with one timer, so that a connection that died without a FIN is noticed. */
export class KeepAlive {
  readonly #sessions: ReadonlySet<ServerHttp2Session>;
  readonly #timeoutMs: number;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(sessions: ReadonlySet<ServerHttp2Session>, options: KeepAliveOptions) {
    this.#sessions = sessions;
    this.#timeoutMs = options.timeoutMs ?? 20_000;
    const intervalMs = options.intervalMs ?? 2 * 3_600_000;
    if (intervalMs <= 0) return;
    this.#timer = setInterval(() => this.#pingAll(), intervalMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #pingAll(): void {
    for (const session of this.#sessions) {
      if (session.destroyed || session.closed) continue;
      const timer = setTimeout(() => session.destroy(), this.#timeoutMs);
      timer.unref();
      const sent = session.ping(() => clearTimeout(timer));
      if (!sent) clearTimeout(timer);
    }
  }
}
