export { type CreateContainerProviderOptions, createContainerProvider } from "./create.ts";
export { ContainerMachine } from "./machine.ts";
export { ContainerProvider, type ContainerProviderOptions, whyNotContainer } from "./provider.ts";
