import fc from "fast-check";
import { expect, it } from "vitest";
import { loadDaemonConfig, parseConf } from "./config.ts";

const load = (env: Record<string, string>, files: Record<string, string> = {}) =>
  loadDaemonConfig(env, (path) => files[path]);

it("upstream's files and variables, the environment over all", () => {
  const files = {
    "/usr/share/coreos/update.conf": "REBOOT_STRATEGY=off\nGROUP=stable\n",
    "/etc/coreos/update.conf":
      '# mine\nREBOOT_STRATEGY="etcd-lock"\nLOCKSMITHD_REBOOT_WINDOW_START="Thu 23:00"\nREBOOT_WINDOW_LENGTH=1h\n',
  };
  const config = load({ LOCKSMITHD_ENDPOINT: "http://a:1,http://b:2", LOCKSMITHD_GROUP: "g" }, files);
  expect(config).toMatchObject({
    strategy: "etcd-lock",
    window: { start: "Thu 23:00", length: "1h", window: { weekday: 4, lengthMs: 3_600_000 } },
    etcd: { endpoints: ["http://a:1", "http://b:2"], group: "g", needRebootFile: "/run/keelson/need-reboot" },
    jitterSpanMs: 0,
    lockTtlMs: 900_000,
    loginDelayMs: 300_000,
    inhibitMaxMs: 600_000,
    mayLoseQuorum: false,
    coordinatorFile: "/run/update-engine/coordinator.conf",
    healthyStates: ["running"],
  });
  expect(load({ REBOOT_STRATEGY: "off" }, files).strategy).toBe("off");
  expect(load({})).toMatchObject({ strategy: "reboot", window: undefined });
  const windowed = {
    REBOOT_WINDOW_START: "4:00",
    REBOOT_WINDOW_LENGTH: "40m",
    LOCKSMITHD_REBOOT_WINDOW_TIMEZONE: "Asia/Tokyo",
  };
  expect(load(windowed)).toMatchObject({ jitterSpanMs: 600_000, window: { window: { zone: { name: "Asia/Tokyo" } } } });
});

it.each<[Record<string, string>, string]>([
  [{ REBOOT_STRATEGY: "now" }, "unknown strategy: now"],
  [
    { REBOOT_WINDOW_START: "1:00" },
    "Either both or neither $REBOOT_WINDOW_START and $REBOOT_WINDOW_LENGTH must be set",
  ],
  [{ REBOOT_WINDOW_START: "1:00", REBOOT_WINDOW_LENGTH: "25h" }, "duration cannot exceed period"],
  [
    { REBOOT_WINDOW_START: "1:00", REBOOT_WINDOW_LENGTH: "1h", LOCKSMITHD_REBOOT_WINDOW_TIMEZONE: "Mars" },
    'unknown time zone "Mars"',
  ],
  [{ LOCKSMITHD_LOCK_TTL: "15" }, 'LOCKSMITHD_LOCK_TTL is not a duration such as 5m: "15"'],
  [{ LOCKSMITHD_ALLOW_QUORUM_LOSS: "perhaps" }, 'invalid boolean value "perhaps"'],
])("%j is refused", (env, text) => expect(() => load(env)).toThrow(text));

it("any text is a file of settings, if perhaps of none", () => {
  fc.assert(fc.property(fc.string(), (text) => Object.values(parseConf(text)).every((value) => value !== "")));
});
