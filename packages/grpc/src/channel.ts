import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  connectivityState,
  Metadata as GrpcMetadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { type ChannelTls, ipOf, toCredentials } from "./channel-tls.ts";
import { Metadata } from "./metadata.ts";
import { RequestQueue } from "./request-queue.ts";
import { RpcError, Status, toStatus } from "./status.ts";

export interface ChannelOptions {
  /** Without it the channel is plain text. */
  readonly tls?: ChannelTls;
  /** Largest response message in bytes. Default 2^31-1, as etcd's client. */
  readonly maxReceiveBytes?: number;
  /** Pings while calls are open, milliseconds; 0 for none. Default 0. */
  readonly keepAliveMs?: number;
  /** Default 20 s. */
  readonly keepAliveTimeoutMs?: number;
  /** Longest wait between two attempts to connect. Default 3 s. */
  readonly maxReconnectBackoffMs?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** From now, milliseconds. Without it a call waits for ever. */
  readonly timeoutMs?: number;
  readonly metadata?: Metadata;
}

export type ChannelState = "idle" | "connecting" | "ready" | "failing" | "closed";

/** A call in both directions. Iterating yields the responses and throws RpcError when the call fails. */
export interface BidiCall<I extends DescMessage, O extends DescMessage> extends AsyncIterableIterator<MessageShape<O>> {
  /** Sends a request; resolves when the transport takes more. After the end of the call it does nothing. */
  send(request: MessageInitShape<I>): Promise<void>;
  /** No more requests. */
  end(): void;
  cancel(): void;
}

const RESPONSES_QUEUED_MAX = 64;

/** A connection to one gRPC server, made when first needed and remade when lost. */
export class Channel implements Disposable {
  /** `host:port` or `unix:///path`. */
  readonly target: string;
  readonly #client: Client;
  #closed = false;

  constructor(target: string, options: ChannelOptions = {}) {
    this.target = target;
    const ip = options.tls === undefined || options.tls.serverName !== undefined ? undefined : ipOf(target);
    this.#client = new Client(target, toCredentials(options.tls, ip), {
      "grpc.max_receive_message_length": options.maxReceiveBytes ?? 0x7fffffff,
      "grpc.max_send_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": options.maxReconnectBackoffMs ?? 3_000,
      // Two channels never share a connection, so that closing one really closes it.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_channelz": 0,
      ...(options.keepAliveMs ? { "grpc.keepalive_time_ms": options.keepAliveMs } : {}),
      "grpc.keepalive_timeout_ms": options.keepAliveTimeoutMs ?? 20_000,
      // grpc-js would send the address as server name, which Node refuses; the certificate is checked against the address.
      ...(ip === undefined ? {} : { "grpc.ssl_target_name_override": "localhost" }),
      ...(options.tls?.serverName === undefined
        ? {}
        : {
            "grpc.ssl_target_name_override": options.tls.serverName,
            "grpc.default_authority": options.tls.serverName,
          }),
    });
  }

  /** @throws {RpcError} */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { promise, resolve, reject } = Promise.withResolvers<MessageShape<O>>();
    if (options.signal?.aborted === true) return Promise.reject(aborted(options.signal));
    const call = this.#client.makeUnaryRequest(
      pathOf(method),
      encoder(method.input),
      decoder(method.output),
      create(method.input, request),
      toGrpcMetadata(options.metadata),
      callOptions(options),
      (error, response) => {
        unlink();
        if (error !== null) reject(options.signal?.aborted === true ? aborted(options.signal, error) : toError(error));
        else if (response === undefined) reject(new RpcError(Status.INTERNAL, "the server sent no response message"));
        else resolve(response);
      },
    );
    const unlink = onAbort(options.signal, () => call.cancel());
    return promise;
  }

  /** Iterating yields the responses; breaking off cancels the call. */
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncIterableIterator<MessageShape<O>> {
    const call = this.#client.makeServerStreamRequest(
      pathOf(method),
      encoder(method.input),
      decoder(method.output),
      create(method.input, request),
      toGrpcMetadata(options.metadata),
      callOptions(options),
    );
    return responses(call, options.signal);
  }

  bidi<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    options: CallOptions = {},
  ): BidiCall<I, O> {
    const call = this.#client.makeBidiStreamRequest(
      pathOf(method),
      encoder(method.input),
      decoder(method.output),
      toGrpcMetadata(options.metadata),
      callOptions(options),
    );
    return new BidiStream(method, call, options.signal);
  }

  /** The state now; `connect` starts a connection when there is none. */
  state(connect = false): ChannelState {
    return this.#closed ? "closed" : stateName(this.#client.getChannel().getConnectivityState(connect));
  }

  /**
   * Resolves true when connected, false when connecting has failed or `timeoutMs` passed. A request on a channel that
   * is not ready has certainly not reached the server.
   */
  async connect(timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    let failed = false;
    for (;;) {
      const state = this.state(true);
      if (state === "ready") return true;
      if (state === "closed" || (state === "failing" && failed) || Date.now() >= deadline) return false;
      // A channel that was failing before gets the chance of one new attempt.
      const changed = await this.#changed(state, deadline);
      failed = state === "connecting" && this.state() !== "ready";
      if (!changed || (failed && this.state() === "failing")) return this.state() === "ready";
    }
  }

  /** Calls `fn` on every change of state until disposed. */
  onStateChange(fn: (state: ChannelState) => void): Disposable {
    let active = true;
    const watch = () => {
      if (!active || this.#closed) return;
      const state = this.#client.getChannel().getConnectivityState(false);
      this.#client.getChannel().watchConnectivityState(state, Number.POSITIVE_INFINITY, (error) => {
        if (!active || error !== undefined || this.#closed) return;
        fn(this.state());
        watch();
      });
    };
    watch();
    return {
      [Symbol.dispose]: () => {
        active = false;
      },
    };
  }

  /** Cancels what runs and closes the connection. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #changed(from: ChannelState, deadline: number): Promise<boolean> {
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(true);
    if (stateName(state) !== from) return Promise.resolve(true);
    return new Promise((resolve) => {
      channel.watchConnectivityState(state, deadline, (error) => resolve(error === undefined));
    });
  }
}

class BidiStream<I extends DescMessage, O extends DescMessage> implements BidiCall<I, O> {
  readonly #method: DescMethodBiDiStreaming<I, O>;
  readonly #call: ClientDuplexStream<MessageShape<I>, MessageShape<O>>;
  readonly #responses: AsyncIterableIterator<MessageShape<O>>;

  constructor(
    method: DescMethodBiDiStreaming<I, O>,
    call: ClientDuplexStream<MessageShape<I>, MessageShape<O>>,
    signal: AbortSignal | undefined,
  ) {
    this.#method = method;
    this.#call = call;
    this.#responses = responses(call, signal);
  }

  send(request: MessageInitShape<I>): Promise<void> {
    const call = this.#call;
    if (call.destroyed || call.writableEnded) return Promise.resolve();
    if (call.write(create(this.#method.input, request))) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        call.off("drain", done);
        call.off("close", done);
        call.off("error", done);
        resolve();
      };
      call.on("drain", done);
      call.on("close", done);
      call.on("error", done);
    });
  }

  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  next(): Promise<IteratorResult<MessageShape<O>>> {
    return this.#responses.next();
  }

  return(): Promise<IteratorResult<MessageShape<O>>> {
    this.#call.cancel();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function responses<T>(call: ClientReadableStream<T>, signal: AbortSignal | undefined): AsyncIterableIterator<T> {
  const queue = new RequestQueue<T>(RESPONSES_QUEUED_MAX, (paused) => {
    if (paused) call.pause();
    else call.resume();
  });
  const unlink = onAbort(signal, () => call.cancel());
  call.on("data", (message: T) => queue.push(message));
  call.on("error", (error: ServiceError) => {
    unlink();
    queue.end(signal?.aborted === true ? aborted(signal, error) : toError(error));
  });
  call.on("end", () => {
    unlink();
    // A failed call emits "end" too; its error may come a little later.
    setImmediate(() => queue.end());
  });
  const iterator: AsyncIterableIterator<T> = {
    next: () => queue.next(),
    return: () => {
      call.cancel();
      return queue.return();
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

function onAbort(signal: AbortSignal | undefined, fn: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) queueMicrotask(fn);
  signal.addEventListener("abort", fn, { once: true });
  return () => signal.removeEventListener("abort", fn);
}

function aborted(signal: AbortSignal, cause?: unknown): RpcError {
  const reason: unknown = signal.reason;
  if (reason instanceof DOMException && reason.name === "TimeoutError") {
    return new RpcError(Status.DEADLINE_EXCEEDED, "context deadline exceeded", { cause: cause ?? reason });
  }
  return new RpcError(Status.CANCELLED, "context canceled", { cause: reason });
}

// grpc-js says this when it never had a connection to send the request on.
const NEVER_SENT = /^(No connection established|Name resolution failed|Channel has been shut down)/;

function toError(error: ServiceError): RpcError {
  const metadata = new Metadata();
  for (const [name, values] of Object.entries(error.metadata?.toHttp2Headers() ?? {})) {
    for (const value of Array.isArray(values) ? values : [values]) {
      if (value !== undefined) metadata.add(name, String(value));
    }
  }
  const status = toStatus(error.code);
  const notSent = status === Status.UNAVAILABLE && NEVER_SENT.test(error.details);
  return new RpcError(status, error.details, { cause: error, metadata, notSent });
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function decoder<D extends DescMessage>(schema: D): (bytes: Buffer) => MessageShape<D> {
  // A view that is no Buffer, so that bytes fields are plain Uint8Arrays too.
  return (bytes) => fromBinary(schema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

function callOptions(options: CallOptions): { deadline?: number } {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function toGrpcMetadata(metadata: Metadata | undefined): GrpcMetadata {
  const out = new GrpcMetadata();
  if (metadata === undefined) return out;
  for (const [name, values] of metadata) {
    for (const value of values) out.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  }
  return out;
}

function stateName(state: connectivityState): ChannelState {
  if (state === connectivityState.IDLE) return "idle";
  if (state === connectivityState.CONNECTING) return "connecting";
  if (state === connectivityState.READY) return "ready";
  return state === connectivityState.TRANSIENT_FAILURE ? "failing" : "closed";
}
