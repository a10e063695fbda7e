import { createServer as createHttp1Server, type Server as Http1Server } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createTcpServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { type Logger, silentLogger } from "@keelson/types";
import { listenOn, parseListenUrl } from "./address.ts";
import { admit } from "./admit.ts";
import { type CallHost, errorTrailers, ServerCall } from "./call.ts";
import { type HttpHandler, serveHttp1, serveHttp2 } from "./http.ts";
import { KeepAlive, type KeepAliveOptions } from "./keepalive.ts";
import type { BoundMethod, BoundService, CallContext } from "./service.ts";
import { sniff } from "./sniff.ts";
import { RpcError, Status } from "./status.ts";

export interface RpcServerOptions {
  readonly services: readonly BoundService[];
  /** Plain HTTP on the same port; without it every other request gets 404. */
  readonly http?: HttpHandler;
  readonly logger?: Logger;
  /** Largest request message in bytes. Default 2 MiB, as etcd (1.5 MiB + 512 KiB). */
  readonly maxRequestBytes?: number;
  /** Requests of one streaming call that wait for its handler before the client is held back. Default 64. */
  readonly maxQueuedRequests?: number;
  /** Calls at a time on one connection. Default 2^32-1, as etcd. */
  readonly maxConcurrentStreams?: number;
  /** Pings of idle connections. Default every 2 h with 20 s to answer, as etcd. */
  readonly keepAlive?: KeepAliveOptions;
  /** A connection must say which protocol it speaks within this time. Default 10 s. */
  readonly handshakeTimeoutMs?: number;
  /** Key and certificate for `https://` and `unixs://` addresses. */
  readonly tls?: TlsOptions;
  /** Runs before each handler; throws RpcError to refuse the call. */
  readonly intercept?: (method: BoundMethod, context: CallContext) => void;
  /** The status of a handler's error that is not an RpcError; undefined for UNKNOWN with its text. */
  readonly toRpcError?: (error: unknown) => RpcError | undefined;
  /** Every call that ended, for metrics: method, status as the client saw it, milliseconds. */
  readonly onCall?: (method: BoundMethod, status: Status, durationMs: number) => void;
}

const HTTP2_WINDOW_BYTES = 1 << 20;
const SESSION_WINDOW_BYTES = 4 << 20;

/**
 * gRPC and plain HTTP on one port. HTTP/2 (by its preface) and HTTP/1.1 are told apart by the first bytes of a
 * connection; within HTTP/2, gRPC by its content type.
 */
export class RpcServer implements AsyncDisposable {
  readonly #options: RpcServerOptions;
  readonly #logger: Logger;
  readonly #methods = new Map<string, BoundMethod>();
  readonly #services = new Set<string>();
  readonly #listeners: NetServer[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #peers = new WeakMap<object, string>();
  readonly #calls = new Set<ServerCall>();
  readonly #http2: Http2Server;
  readonly #http1: Http1Server;
  readonly #host: CallHost;
  readonly #keepAlive: KeepAlive;
  #idle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    for (const service of options.services) {
      this.#services.add(service.desc.typeName);
      for (const method of service.methods) this.#methods.set(method.path, method);
    }
    this.#host = {
      maxRequestBytes: options.maxRequestBytes ?? 2 << 20,
      maxQueuedRequests: options.maxQueuedRequests ?? 64,
      intercept: options.intercept,
      toRpcError: options.toRpcError,
      peerOf: (session) => (session === undefined ? undefined : this.#peers.get(session)) ?? "unix",
      ended: (call, status) => this.#callEnded(call, status),
    };
    this.#http2 = this.#createHttp2();
    this.#http1 = createHttp1Server({ headersTimeout: 10_000, requestTimeout: 0 }, (req, res) => {
      void serveHttp1(options.http ?? (() => undefined), req, res);
    });
    this.#keepAlive = new KeepAlive(this.#sessions, options.keepAlive ?? {});
  }

  /**
   * Listens on `http://host:port`, `https://host:port`, `unix:///path` or `unixs:///path`; several times if wanted.
   * Returns the URL with the real port for port 0.
   * @throws {ListenAddressError} @throws {ListenError}
   */
  async listen(url: string): Promise<{ url: string }> {
    const address = parseListenUrl(url);
    const accept = (socket: Socket) => this.#accept(socket);
    const server = address.tls
      ? createTlsServer(
          { ALPNProtocols: ["h2", "http/1.1"], handshakeTimeout: this.#handshakeTimeoutMs, ...this.#options.tls },
          accept,
        )
      : createTcpServer({ noDelay: true }, accept);
    const bound = await listenOn(server, address, url);
    server.on("error", (error) => this.#logger.debug("listener failed", { url: bound, error }));
    this.#listeners.push(server);
    return { url: bound };
  }

  /**
   * Stops listening, tells clients to go away, ends streaming calls with UNAVAILABLE, gives unary calls `graceMs` to
   * finish and then cuts what is left.
   */
  close(graceMs = 1_000): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #handshakeTimeoutMs(): number {
    return this.#options.handshakeTimeoutMs ?? 10_000;
  }

  #createHttp2(): Http2Server {
    const server = createHttp2Server({
      settings: {
        maxConcurrentStreams: this.#options.maxConcurrentStreams ?? 2 ** 32 - 1,
        initialWindowSize: HTTP2_WINDOW_BYTES,
        enablePush: false,
      },
      // Megabytes of one connection's buffers; beyond it new streams are refused.
      maxSessionMemory: 64,
      streamResetBurst: 2_000,
      streamResetRate: 200,
    });
    server.on("session", (session) => {
      this.#sessions.add(session);
      const { remoteAddress, remotePort } = session.socket;
      if (remoteAddress !== undefined) this.#peers.set(session, `${remoteAddress}:${remotePort}`);
      session.setLocalWindowSize(SESSION_WINDOW_BYTES);
      session.on("error", (error) => this.#logger.debug("connection failed", { error }));
      session.on("close", () => this.#sessions.delete(session));
    });
    server.on("sessionError", (error) => this.#logger.debug("session failed", { error }));
    server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => this.#stream(stream, headers));
    return server;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    sniff(socket, this.#handshakeTimeoutMs, (protocol) => {
      if (this.#closing !== undefined) return void socket.destroy();
      if (protocol === "http2") {
        return admit(socket, () => {
          if (this.#closing === undefined) this.#http2.emit("connection", socket);
          else socket.destroy();
        });
      }
      this.#http1.emit("connection", socket);
      // The new owner has taken the bytes that were put back; now let the rest flow.
      socket.resume();
    });
  }

  #stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const contentType = headers["content-type"];
    if (contentType === undefined || !contentType.startsWith("application/grpc")) {
      void serveHttp2(this.#options.http ?? (() => undefined), stream, headers);
      return;
    }
    const refusal = this.#refusal(contentType, headers);
    if (refusal !== undefined) {
      stream.on("error", () => undefined);
      stream.respond(refusal, { endStream: true });
      stream.resume();
      return;
    }
    const method = this.#methods.get(headers[":path"] ?? "");
    if (method === undefined) throw new Error("unreachable: refused above");
    const call = new ServerCall(this.#host, method, stream, headers);
    this.#calls.add(call);
    call.start();
  }

  #refusal(contentType: string, headers: IncomingHttpHeaders): OutgoingHttpHeaders | undefined {
    const path = headers[":path"] ?? "";
    if (headers[":method"] !== "POST") return { ":status": 405, allow: "POST" };
    if (!/^application\/grpc(\+proto)?(;|$)/.test(contentType)) return { ":status": 415 };
    if (this.#methods.has(path)) return undefined;
    const cut = path.lastIndexOf("/");
    const service = path.slice(1, cut);
    const name = path.slice(cut + 1);
    const message =
      cut <= 0
        ? `malformed method name: "${path}"`
        : this.#services.has(service)
          ? `unknown method ${name} for service ${service}`
          : `unknown service ${service}`;
    const trailers = errorTrailers(new RpcError(Status.UNIMPLEMENTED, message));
    return { ":status": 200, "content-type": "application/grpc", ...trailers };
  }

  #callEnded(call: ServerCall, status: Status): void {
    this.#calls.delete(call);
    this.#options.onCall?.(call.method, status, performance.now() - call.startMs);
    if (this.#calls.size === 0) this.#idle?.();
  }

  async #close(graceMs: number): Promise<void> {
    const closed = this.#listeners.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    this.#keepAlive.stop();
    const gone = new RpcError(Status.UNAVAILABLE, "the server is shutting down");
    for (const call of this.#calls) call.abortStreaming(gone);
    for (const session of this.#sessions) session.close(); // GOAWAY, then no new streams
    this.#http1.closeIdleConnections();
    if (this.#calls.size > 0 && graceMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const call of this.#calls) call.fail(gone);
    // Let the last trailers and GOAWAY out before the sockets are cut.
    await new Promise((resolve) => setTimeout(resolve, Math.min(graceMs, 20)));
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}
