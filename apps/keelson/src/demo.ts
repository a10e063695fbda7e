import type { FleetApi, UnitOption } from "./fleet-api.ts";

export const DEMO_UNIT = "hello.service";

/** A unit that any machine can run: it says so once a few seconds. */
export const DEMO_OPTIONS: readonly UnitOption[] = [
  { section: "Unit", name: "Description", value: "Says hello from wherever fleet put it" },
  { section: "Service", name: "ExecStart", value: '/bin/sh -c "while :; do echo hello; sleep 5; done"' },
  { section: "Service", name: "Restart", value: "always" },
];

/** Places the demo unit; a second time changes nothing. */
export async function launchDemo(api: FleetApi): Promise<void> {
  await api.launch(DEMO_UNIT, DEMO_OPTIONS);
}
