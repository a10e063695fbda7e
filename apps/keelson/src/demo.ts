import type { FleetClient } from "@keelson/fleet/client";

export const DEMO_UNIT = "hello.service";

/** A unit that any machine can run: it says so once a few seconds. */
export const DEMO_OPTIONS: Parameters<FleetClient["createUnit"]>[1] = [
  { section: "Unit", name: "Description", value: "Says hello from wherever fleet put it" },
  { section: "Service", name: "ExecStart", value: '/bin/sh -c "while :; do echo hello; sleep 5; done"' },
  { section: "Service", name: "Restart", value: "always" },
];

/** Places the demo unit; a second time changes nothing. */
export async function launchDemo(client: FleetClient): Promise<void> {
  await client.createUnit(DEMO_UNIT, DEMO_OPTIONS, "launched");
}
