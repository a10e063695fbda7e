// For those who serve.
export { type ListenAddress, ListenAddressError, ListenError, parseListenUrl } from "./address.ts";
export {
  type BidiCall,
  type CallOptions,
  Channel,
  type ChannelOptions,
  type ChannelState,
} from "./channel.ts";
// For those who call.
export type { ChannelTls } from "./channel-tls.ts";
export { Encoded } from "./framing.ts";
export { HealthReporter } from "./health.ts";
export { BodyTooLargeError, type HttpHandler, type HttpRequest, type HttpResponse } from "./http.ts";
export type { KeepAliveOptions } from "./keepalive.ts";
// For both.
export { Metadata } from "./metadata.ts";
export { RpcServer, type RpcServerOptions } from "./server.ts";
export {
  type BidiHandler,
  type BoundMethod,
  type BoundService,
  type CallContext,
  type ClientStreamHandler,
  implement,
  type Reply,
  type ServerStreamHandler,
  type ServiceHandlers,
  type UnaryHandler,
} from "./service.ts";
export { RpcError, type RpcErrorOptions, Status, statusName, toStatus } from "./status.ts";
