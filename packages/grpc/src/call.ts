import type { Http2Session, IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { CoreError } from "@keelson/types";
import { Encoded, frameBytes, MessageReader } from "./framing.ts";
import { Metadata, metadataFromHeaders } from "./metadata.ts";
import { RequestQueue } from "./request-queue.ts";
import type { BoundMethod, CallContext } from "./service.ts";
import { RpcError, Status } from "./status.ts";
import { encodeGrpcMessage, parseTimeout } from "./wire.ts";

/** What a call needs of its server. */
export interface CallHost {
  readonly maxRequestBytes: number;
  readonly maxQueuedRequests: number;
  /** Runs before the handler; throws RpcError to refuse the call. */
  readonly intercept: ((method: BoundMethod, context: CallContext) => void) | undefined;
  /** The status of an error that is not an RpcError. */
  readonly toRpcError: ((error: unknown) => RpcError | undefined) | undefined;
  /** The remote address of a connection. */
  peerOf(session: Http2Session | undefined): string;
  /** The call is over, with the status that the client was told. */
  ended(call: ServerCall, status: Status): void;
}

// Made once: a call adds nothing to them. gRPC has no use for a date, and the raw form costs the least to send.
const HEADERS: OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc" };
const RAW_HEADERS = [":status", "200", "content-type", "application/grpc"];
const WITH_TRAILERS = { waitForTrailers: true, sendDate: false };
const TRAILERS_ONLY = { endStream: true, sendDate: false };
const OK_TRAILERS: OutgoingHttpHeaders = { "grpc-status": "0" };

/** One gRPC call on one HTTP/2 stream: from its headers to its trailers. */
export class ServerCall implements CallContext {
  readonly method: BoundMethod;
  readonly startMs = performance.now();
  readonly #stream: ServerHttp2Stream;
  readonly #session: Http2Session | undefined;
  readonly #headers: IncomingHttpHeaders;
  readonly #host: CallHost;
  readonly #reader: MessageReader;
  #deadlineMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #metadata: Metadata | undefined;
  #trailers: Metadata | undefined;
  #abort: AbortController | undefined;
  #abortReason: RpcError | undefined;
  #queue: RequestQueue<unknown> | undefined;
  #dispatched = false;
  #over = false;
  #endTrailers: OutgoingHttpHeaders = OK_TRAILERS;
  #wake: (() => void) | undefined;

  constructor(host: CallHost, method: BoundMethod, stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#host = host;
    this.method = method;
    this.#stream = stream;
    this.#session = stream.session;
    this.#headers = headers;
    this.#reader = new MessageReader(host.maxRequestBytes, headers["grpc-encoding"] === "gzip");
  }

  get signal(): AbortSignal {
    // Most unary handlers never look at it, and an AbortController is dear.
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#abortReason !== undefined) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  get metadata(): Metadata {
    this.#metadata ??= metadataFromHeaders(this.#headers);
    return this.#metadata;
  }

  get peer(): string {
    return this.#host.peerOf(this.#session);
  }

  get deadlineMs(): number | undefined {
    return this.#deadlineMs;
  }

  trailer(name: string, value: string | Uint8Array): void {
    this.#trailers ??= new Metadata();
    this.#trailers.add(name, value);
  }

  /** Reads the request and runs the handler. */
  start(): void {
    const stream = this.#stream;
    stream.on("error", noop); // "close" follows and tells all
    stream.on("close", () => this.#closed());
    stream.on("wantTrailers", () => this.#sendTrailers());
    try {
      this.#startDeadline();
      this.#checkEncoding();
      this.#host.intercept?.(this.method, this);
      const kind = this.method.desc.methodKind;
      if (kind === "client_streaming" || kind === "bidi_streaming") this.#startStreaming(kind === "bidi_streaming");
      stream.on("data", (chunk: Buffer) => this.#data(chunk));
      stream.on("end", () => this.#halfClosed());
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends the call with an error, unless it is over. */
  fail(error: unknown): void {
    if (this.#over) return;
    const rpcError = this.#rpcError(error);
    this.#end(rpcError.status);
    this.#cancelHandler(rpcError);
    const trailers = errorTrailers(rpcError, this.#trailers);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    if (stream.headersSent) {
      this.#endTrailers = trailers;
      stream.end();
    } else {
      stream.respond({ ...HEADERS, ...trailers }, TRAILERS_ONLY);
      this.#releaseRequest();
    }
  }

  /** For a server that closes: streaming calls end now, unary ones may still finish. */
  abortStreaming(error: RpcError): void {
    if (this.method.desc.methodKind !== "unary") this.fail(error);
  }

  #startDeadline(): void {
    const header = this.#headers["grpc-timeout"];
    if (header === undefined) return;
    const timeoutMs = typeof header === "string" ? parseTimeout(header) : undefined;
    if (timeoutMs === undefined) throw new RpcError(Status.INTERNAL, `malformed grpc-timeout: ${String(header)}`);
    this.#deadlineMs = this.startMs + timeoutMs;
    const fire = () => this.fail(new RpcError(Status.DEADLINE_EXCEEDED, "context deadline exceeded"));
    // A timer longer than 2^31-1 ms fires at once; nobody waits 24 days for one call.
    if (timeoutMs <= 0x7fffffff) this.#timer = setTimeout(fire, timeoutMs);
  }

  #checkEncoding(): void {
    const encoding = this.#headers["grpc-encoding"];
    if (encoding === undefined || encoding === "identity" || encoding === "gzip") return;
    this.trailer("grpc-accept-encoding", "identity,gzip");
    throw new RpcError(
      Status.UNIMPLEMENTED,
      `grpc: Decompressor is not installed for grpc-encoding "${String(encoding)}"`,
    );
  }

  #data(chunk: Buffer): void {
    if (this.#over) return;
    try {
      for (const bytes of this.#reader.push(chunk)) this.#request(this.#decode(bytes));
    } catch (error) {
      this.fail(error);
    }
  }

  #decode(bytes: Uint8Array): unknown {
    try {
      return fromBinary(this.method.desc.input, bytes);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new RpcError(Status.INTERNAL, `grpc: error unmarshalling request: ${why}`, { cause });
    }
  }

  #request(request: unknown): void {
    if (this.#queue !== undefined) return this.#queue.push(request);
    if (this.#dispatched) throw new RpcError(Status.INTERNAL, "grpc: more than one request message for a unary call");
    this.#dispatched = true;
    const result = this.method.handler(request, this);
    if (this.method.desc.methodKind === "server_streaming") void this.#pump(result as AsyncIterable<unknown>);
    else this.#settle(result);
  }

  #startStreaming(bidi: boolean): void {
    this.#queue = new RequestQueue<unknown>(this.#host.maxQueuedRequests, (paused) => {
      if (paused) this.#stream.pause();
      else this.#stream.resume();
    });
    this.#dispatched = true;
    const result = this.method.handler(this.#queue, this);
    if (bidi) void this.#pump(result as AsyncIterable<unknown>);
    else this.#settle(result);
  }

  #halfClosed(): void {
    // A reset stream ends as well; then "close" follows, and that is no half-close.
    if (this.#over || this.#stream.aborted || this.#stream.rstCode !== 0) return;
    if (this.#reader.partial) return this.fail(new RpcError(Status.INTERNAL, "unexpected EOF"));
    if (!this.#dispatched) return this.fail(new RpcError(Status.INTERNAL, "grpc: the request message is missing"));
    // Node's client half-closes when it cancels and resets right after: let the reset be seen first.
    if (this.#queue !== undefined) setImmediate(() => this.#queue?.end());
  }

  #settle(result: unknown): void {
    if (result instanceof Promise)
      result.then(
        (reply) => this.#reply(reply),
        (error: unknown) => this.fail(error),
      );
    else this.#reply(result);
  }

  #reply(reply: unknown): void {
    if (this.#over) return;
    let frame: Uint8Array;
    try {
      frame = this.#frame(reply);
    } catch (error) {
      return this.fail(error);
    }
    this.#end(Status.OK);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    if (this.#trailers !== undefined) this.#endTrailers = { ...OK_TRAILERS, ...plain(this.#trailers) };
    stream.respond(RAW_HEADERS, WITH_TRAILERS);
    stream.end(frame);
  }

  async #pump(replies: AsyncIterable<unknown>): Promise<void> {
    let iterator: AsyncIterator<unknown> | undefined;
    try {
      iterator = replies[Symbol.asyncIterator]();
      while (!this.#over) {
        const step = await iterator.next();
        if (this.#over) break;
        if (step.done === true) return this.#endStreaming();
        if (!this.#send(step.value)) await this.#drained();
      }
    } catch (error) {
      return this.fail(error);
    }
    // The generator waits in a yield: let it run its finally blocks. Its errors have nobody left to tell.
    await iterator.return?.().then(noop, noop);
  }

  #send(reply: unknown): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return true;
    const frame = this.#frame(reply);
    if (!stream.headersSent) stream.respond(RAW_HEADERS, WITH_TRAILERS);
    return stream.write(frame);
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#over || this.#stream.destroyed) return resolve();
      this.#wake = resolve;
      this.#stream.once("drain", resolve);
    });
  }

  #endStreaming(): void {
    this.#end(Status.OK);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const trailers = this.#trailers === undefined ? OK_TRAILERS : { ...OK_TRAILERS, ...plain(this.#trailers) };
    if (!stream.headersSent) {
      stream.respond({ ...HEADERS, ...trailers }, TRAILERS_ONLY);
      this.#releaseRequest();
      return;
    }
    this.#endTrailers = trailers;
    stream.end();
  }

  #frame(reply: unknown): Uint8Array {
    if (reply instanceof Encoded) return reply.frame;
    return frameBytes(toBinary(this.method.desc.output, reply as MessageShape<DescMessage>));
  }

  #sendTrailers(): void {
    this.#stream.sendTrailers(this.#endTrailers);
    this.#releaseRequest();
  }

  // A client that still sends must be told to stop, or its half of the stream would stay open for ever.
  #releaseRequest(): void {
    if (this.#stream.readableEnded) return;
    this.#stream.resume();
    setImmediate(() => {
      if (!this.#stream.closed && !this.#stream.readableEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }

  #end(status: Status): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#host.ended(this, status);
    this.#wake?.();
  }

  #closed(): void {
    if (this.#over) return;
    this.#end(Status.CANCELLED);
    this.#cancelHandler(new RpcError(Status.CANCELLED, "context canceled"));
  }

  #cancelHandler(reason: RpcError): void {
    this.#abortReason = reason;
    this.#abort?.abort(reason);
    this.#queue?.end(reason);
  }

  #rpcError(error: unknown): RpcError {
    if (error instanceof RpcError) return error;
    const mapped = this.#host.toRpcError?.(error);
    if (mapped !== undefined) return mapped;
    // As grpc-go does for an error without a status: UNKNOWN with its text.
    const text = error instanceof CoreError || error instanceof Error ? error.message : String(error);
    return new RpcError(Status.UNKNOWN, text, { cause: error });
  }
}

function noop(): void {}

function plain(metadata: Metadata): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (const [name, values] of metadata) headers[name] = [...values];
  return headers;
}

/** The trailers of a status: code, percent-encoded message, and what the error and the handler added. */
export function errorTrailers(error: RpcError, extra?: Metadata): OutgoingHttpHeaders {
  return {
    "grpc-status": String(error.status),
    "grpc-message": encodeGrpcMessage(error.message),
    ...(extra === undefined ? {} : plain(extra)),
    ...(error.metadata === undefined ? {} : plain(error.metadata)),
  };
}
