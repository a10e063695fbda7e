import type { HistoryEntry } from "../core/memory.ts";
import type { StatusView } from "../core/status.ts";
import { ask } from "../edge/http-request.ts";
import { AgentApiError } from "../errors.ts";

export type { HistoryEntry } from "../core/memory.ts";
export type { StatusView } from "../core/status.ts";
export { AgentApiError } from "../errors.ts";

/** Where the agent of this machine listens. */
export const AGENT_SOCKET = "/run/keelson/updated.sock";

// The agent is one thread, and emulated machines are slow while it checks a whole tree.
const TIMEOUT_MS = 30_000;
const BYTES_MAX = 4 * 1024 * 1024;

/** A thin client of the agent's socket. Nothing of the agent is loaded with it. */
export class AgentClient {
  readonly #socketPath: string;

  constructor(socketPath: string = AGENT_SOCKET) {
    this.#socketPath = socketPath;
  }

  /** @throws AgentApiError */
  async status(): Promise<StatusView> {
    return (await this.#call("GET", "/v1/status")) as StatusView;
  }

  /** Oldest first. @throws AgentApiError */
  async history(): Promise<readonly (HistoryEntry & { readonly text: string })[]> {
    const { history } = (await this.#call("GET", "/v1/history")) as {
      history: readonly (HistoryEntry & { text: string })[];
    };
    return history;
  }

  /** Resolves when the agent has begun to obey; `refused` says why it will not. @throws AgentApiError */
  async command(command: "check" | "now" | "rollback"): Promise<{ readonly refused?: string }> {
    try {
      await this.#call("POST", `/v1/${command}`);
      return {};
    } catch (error) {
      if (error instanceof AgentApiError && error.details["status"] === 409) return { refused: error.message };
      throw error;
    }
  }

  async #call(method: "GET" | "POST", path: string): Promise<unknown> {
    const to = { socketPath: this.#socketPath, path };
    let answer: Awaited<ReturnType<typeof ask>>;
    try {
      answer = await ask({ to, method, timeoutMs: TIMEOUT_MS, bytesMax: BYTES_MAX });
    } catch (cause) {
      throw new AgentApiError(
        `updated does not answer on ${this.#socketPath}; is it running (systemctl status updated), and are you root?`,
        { socketPath: this.#socketPath },
        { cause },
      );
    }
    let body: unknown;
    try {
      body = JSON.parse(answer.body);
    } catch (cause) {
      throw new AgentApiError(`updated answered ${answer.status} with something that is not JSON`, {}, { cause });
    }
    if (answer.status < 300) return body;
    const value = (body as { value?: unknown } | null)?.value;
    throw new AgentApiError(typeof value === "string" ? value : `updated answered ${answer.status}`, {
      status: answer.status,
    });
  }
}
