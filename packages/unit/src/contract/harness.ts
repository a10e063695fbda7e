import { afterEach, beforeEach, expect, vi } from "vitest";
import type { UnitManager, UnitStatus } from "../ports.ts";

/** What one implementation of the port brings to the contract suite. Made anew for each test. */
export interface UnitManagerHarness extends AsyncDisposable {
  readonly manager: UnitManager;
  /** Letters and digits that no other test's units start with; two harnesses may share one manager. */
  readonly prefix: string;
  /** A directory that units may write to, as they see it. */
  readonly scratch: string;
  /** Lets go of `manager` and gives a new one over the same units, as a restarted fleetd would. */
  reopen(): Promise<UnitManager>;
  /** Whether a process of a unit lives; the pid as units see it. */
  isAlive(pid: number): Promise<boolean>;
}

/** What an implementation can do beyond the port. */
export interface UnitManagerSupports {
  /** Units keep running while no client is connected. */
  readonly outlivesClients: boolean;
  /** Processes that leave the unit's session with setsid are killed with it. */
  readonly killsEscapedProcesses: boolean;
}

/** The tests' view of the harness: short words for what every test does. */
export interface Bench {
  readonly manager: UnitManager;
  readonly scratch: string;
  readonly harness: UnitManagerHarness;
  /** `<prefix>-<short>.service` */
  name(short: string): string;
  /** Loads a service with these [Service] lines and returns its name. */
  service(short: string, lines: readonly string[], unitLines?: readonly string[]): Promise<string>;
  /** The texts of the journal that start with `mark:`, without it. The rest is the manager's own messages. */
  marks(name: string): Promise<string[]>;
  /** Waits for the status to be as `want` says. */
  until(name: string, want: Partial<UnitStatus>): Promise<UnitStatus>;
  /** Replaces the manager by a new one over the same units. */
  reopen(): Promise<UnitManager>;
}

/** How long a condition may take. Generous: two busy cores run the suite. */
export const WAIT_MS = 15_000;

/** Registers the hooks that make and end a harness around each test. */
export function useBench(factory: () => Promise<UnitManagerHarness>): { readonly bench: Bench } {
  let harness: UnitManagerHarness;
  let manager: UnitManager;
  const bench: Bench = {
    get manager() {
      return manager;
    },
    get scratch() {
      return harness.scratch;
    },
    get harness() {
      return harness;
    },
    name: (short) => `${harness.prefix}-${short}.service`,
    async service(short, lines, unitLines = []) {
      const name = this.name(short);
      const content = `[Unit]\nDescription=${short}\n${unitLines.join("\n")}\n[Service]\n${lines.join("\n")}\n`;
      await manager.load([{ name, content }]);
      return name;
    },
    async marks(name) {
      const marks: string[] = [];
      for await (const line of manager.journal(name, { lines: 1000 })) {
        const at = line.indexOf("mark:");
        if (at !== -1) marks.push(line.slice(at + 5));
      }
      return marks;
    },
    async until(name, want) {
      return await vi.waitFor(
        async () => {
          const status = await manager.status(name);
          expect(status).toMatchObject(want);
          return status;
        },
        { timeout: WAIT_MS, interval: 30 },
      );
    },
    async reopen() {
      manager = await harness.reopen();
      return manager;
    },
  };
  beforeEach(async () => {
    harness = await factory();
    manager = harness.manager;
  });
  afterEach(async () => {
    const mine = (await manager.list()).map((s) => s.name).filter((name) => name.startsWith(`${harness.prefix}-`));
    for (const name of mine) await manager.stop(name);
    await manager.unload(mine);
    await harness[Symbol.asyncDispose]();
  });
  return { bench };
}
