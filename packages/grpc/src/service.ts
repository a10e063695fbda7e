import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Encoded } from "./framing.ts";
import type { Metadata } from "./metadata.ts";

/** What a handler knows about its call. */
export interface CallContext {
  /** Fires when the client cancelled, the deadline passed, the connection broke or the server closes. */
  readonly signal: AbortSignal;
  /** What the client sent beside the messages. */
  readonly metadata: Metadata;
  /** Remote address as `127.0.0.1:4711`, or `unix`. */
  readonly peer: string;
  /** The instant of `performance.now()` after which the client no longer listens. */
  readonly deadlineMs: number | undefined;
  /** Adds a value to the trailers. */
  trailer(name: string, value: string | Uint8Array): void;
}

/** A message, or the same already encoded. */
export type Reply<O extends DescMessage> = MessageShape<O> | Encoded;

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => Reply<O> | Promise<Reply<O>>;

/** The generator must end when `context.signal` fires; messages it yields afterwards are dropped. */
export type ServerStreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => AsyncIterable<Reply<O>>;

export type ClientStreamHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  context: CallContext,
) => Promise<Reply<O>>;

export type BidiHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  context: CallContext,
) => AsyncIterable<Reply<O>>;

export type MethodHandler<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamHandler<I, O>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? ClientStreamHandler<I, O>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? BidiHandler<I, O>
          : never;

/** Handlers of a service by method name in lower camel case. Methods left out answer UNIMPLEMENTED. */
export type ServiceHandlers<S extends DescService> = {
  readonly [K in keyof S["method"]]?: MethodHandler<S["method"][K]>;
};

/** One method with its code; made by {@link implement}. The handler's type was checked there. */
export interface BoundMethod {
  readonly desc: DescMethod;
  /** `/etcdserverpb.KV/Range` */
  readonly path: string;
  readonly handler: BoundHandler;
}
/** A handler whose types {@link implement} has checked against its method. */
export type BoundHandler = (request: unknown, context: CallContext) => unknown;

export interface BoundService {
  readonly desc: DescService;
  readonly methods: readonly BoundMethod[];
}

/** Binds handlers to a service of the generated code. Transport apart: any server that takes BoundService will do. */
export function implement<S extends DescService>(desc: S, handlers: ServiceHandlers<S>): BoundService {
  const methods: BoundMethod[] = [];
  for (const method of desc.methods) {
    const handler = (handlers as Readonly<Record<string, unknown>>)[method.localName];
    if (typeof handler !== "function") continue;
    methods.push({
      desc: method,
      path: `/${desc.typeName}/${method.name}`,
      handler: handler.bind(handlers) as BoundHandler,
    });
  }
  return { desc, methods };
}
