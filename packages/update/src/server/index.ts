// Apart from the agent, so that neither loads the other.
export { UpdateServer, type UpdateServerOptions } from "./update-server.ts";
