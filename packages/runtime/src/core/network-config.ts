import { z } from "zod";
import { NetworkError } from "../errors.ts";

const pluginName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, "is not the name of a plugin");
const networkName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "is not a name of a-z, 0-9 and -");
const cniVersion = z.enum(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
const plugin = z.looseObject({ type: pluginName, capabilities: z.record(z.string(), z.boolean()).optional() });
const list = z.looseObject({ cniVersion, name: networkName, plugins: z.array(plugin).min(1).max(16) });
const single = z.looseObject({ cniVersion, name: networkName, type: pluginName });

/** A network of net.d: a list of CNI plugins. Source: CNI SPEC.md, "Configuration format". */
export interface NetworkConfig {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Readonly<Record<string, unknown>>[];
}

/** Largest configuration that is read, in characters. */
export const NETWORK_LENGTH_MAX = 1024 * 1024;

/** Reads a `.conflist`, or a `.conf` of one plugin. @throws NetworkError that says which file is wrong where */
export function parseNetworkConfig(text: string, file: string): NetworkConfig {
  const fail = (problem: string, cause?: unknown): never => {
    throw new NetworkError(`${file}: ${problem}`, { file }, cause === undefined ? undefined : { cause });
  };
  if (text.length > NETWORK_LENGTH_MAX) fail(`is longer than ${NETWORK_LENGTH_MAX} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    return fail("is not JSON", cause);
  }
  const isList = typeof json === "object" && json !== null && "plugins" in json;
  const result = isList ? list.safeParse(json) : single.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    return fail(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is not a network"}`);
  }
  const { name, cniVersion: version } = result.data;
  if (name === "host" || name === "none") fail(`name: ${name} is taken`);
  if ("plugins" in result.data)
    return { name, cniVersion: version, plugins: (result.data as z.infer<typeof list>).plugins };
  const { name: _name, cniVersion: _version, ...rest } = result.data;
  return { name, cniVersion: version, plugins: [rest] };
}
