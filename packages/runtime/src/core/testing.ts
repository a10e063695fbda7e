import type { ImageConfig } from "@keelson/oci";
import { CoreError } from "@keelson/types";
import { makePlan, type PlanInput } from "./make-plan.ts";
import { parseNetworkConfig } from "./network-config.ts";
import type { PodPlan } from "./plan.ts";
import { parseRunArguments } from "./request.ts";

/** A uuid for tests. */
export const UUID = "01234567-89ab-cdef-0123-456789abcdef";

/** An image's config, with what a test says about it. */
export function testImageConfig(run: Partial<ImageConfig["run"]> = {}): ImageConfig {
  const base = {
    user: "",
    env: ["PATH=/bin"],
    entrypoint: ["/bin/web"],
    cmd: ["--port=80"],
    workingDir: "/srv",
    labels: {},
    exposedPorts: [],
    volumes: [],
  };
  return {
    architecture: "amd64",
    os: "linux",
    diffIds: [digest(1), digest(2)] as ImageConfig["diffIds"],
    run: { ...base, ...run },
  };
}

/** `sha256:` and a number. */
export function digest(n: number): string {
  return `sha256:${n.toString(16).padStart(64, "0")}`;
}

const DEFAULT_NETWORK = JSON.stringify({
  cniVersion: "1.0.0",
  name: "default",
  plugins: [
    {
      type: "bridge",
      bridge: "rkt0",
      isGateway: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "172.16.28.0/24" }]] },
    },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ],
});

/** The plan of a command line, with one image for every app and the networks `default` and `plain`. */
export function planOf(
  argv: readonly string[],
  input: Partial<PlanInput> & { readonly run?: Partial<ImageConfig["run"]> } = {},
): PodPlan {
  const { request } = parseRunArguments(argv);
  const networks = new Map([
    ["default", parseNetworkConfig(DEFAULT_NETWORK, "10-default.conflist")],
    [
      "plain",
      parseNetworkConfig(
        '{"cniVersion":"0.4.0","name":"plain","type":"ptp","ipam":{"type":"host-local"}}',
        "20-plain.conf",
      ),
    ],
  ]);
  const images = request.apps.map(({ image }) => ({
    id: digest(9),
    name: image,
    config: testImageConfig(input.run),
    layers: [1, 2].map((n) => ({ diffId: digest(n), path: `/var/lib/rkt/layers/sha256-${n}.erofs` })),
    files: {
      passwd: "root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n",
      group: "web:x:1001:\nextra:x:1002:web\n",
    },
  }));
  return makePlan(request, { uuid: UUID, images, networks, environment: [], ...input });
}

/** The message with which `fn` refuses; undefined when it does not. Any error but a CoreError is thrown on. */
export function refusalOf(fn: () => unknown): string | undefined {
  try {
    fn();
    return undefined;
  } catch (error) {
    if (error instanceof CoreError) return error.message;
    throw error;
  }
}
