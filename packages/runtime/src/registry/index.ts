export { RegistryClient, type RegistryClientOptions, type RemoteImage } from "./client.ts";
export {
  type CredentialPaths,
  type CredentialStore,
  type Credentials,
  defaultCredentialPaths,
  loadCredentials,
  noCredentials,
} from "./credentials.ts";
export {
  ContentError,
  type ContentProblem,
  RegistryConfigError,
  RegistryError,
  type RegistryProblem,
} from "./errors.ts";
export type { HttpTransportOptions } from "./http.ts";
export { type Endpoint, REGISTRY_CONFIG_DIRECTORIES, RegistryConfig, type TlsMode } from "./mirrors.ts";
export type { RetryPolicy } from "./session.ts";
