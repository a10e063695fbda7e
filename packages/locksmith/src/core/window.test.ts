import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { timeZone } from "../zone.ts";
import { daysOf, instantOf, UTC, weekdayOf, type Zone } from "./civil.ts";
import { jitterMs, parseRebootWindow, type RebootWindow, windowAt } from "./window.ts";

const berlin = timeZone("Europe/Berlin");
const utc = (text: string) => Date.parse(`${text}Z`);
const show = (window: RebootWindow, now: string) => {
  const { isOpen, opensAtMs, closesAtMs } = windowAt(window, utc(now));
  const iso = (ms: number) => new Date(ms).toISOString().slice(0, 16);
  return `${isOpen ? "open" : "closed"} ${iso(opensAtMs)} ${iso(closesAtMs)}`;
};

describe("parsing, with upstream's rules and texts", () => {
  it.each([
    ["14:00", "1h", undefined, 840],
    ["Thu 23:00", "2h", 4, 1_380],
    ["  sun\t00:05 ", "6h", 0, 5],
    ["SAT 9:5", "167h", 6, 545],
    ["00:00", "23h59m59s", undefined, 0],
  ])("%s for %s", (start, length, weekday, minutes) => {
    expect(parseRebootWindow(start, length, UTC)).toMatchObject({ weekday, startMs: minutes * 60_000 });
  });

  it.each([
    ["", "1h", "unable to parse start: wrong number of fields"],
    ["Thu at 23:00", "1h", "unable to parse start: wrong number of fields"],
    ["Thursday 23:00", "1h", 'unable to parse start: invalid day of week "Thursday"'],
    ["24:00", "1h", 'unable to parse start: invalid time of day "24:00": hour must be >= 0 and <= 23'],
    ["23:60", "1h", 'unable to parse start: invalid time of day "23:60": minute must be >= 0 and <= 59'],
    ["23", "1h", 'unable to parse start: invalid time of day "23": it is no HH:MM'],
    ["23:00", "1", 'unable to parse duration: time: invalid duration "1"'],
    ["23:00", "-1h", "duration cannot be negative"],
    ["23:00", "24h", "duration cannot exceed period"],
    ["Sun 23:00", "168h", "duration cannot exceed period"],
    ["23:00", "0s", "duration cannot be zero: the window would never be open"],
  ])("%j for %j is refused", (start, length, text) => {
    expect(() => parseRebootWindow(start, length, UTC)).toThrow(text);
  });

  it("never throws anything else", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (start, length) =>
        ["fine", "ERR_WINDOW"].includes(outcome(() => parseRebootWindow(start, length, UTC))),
      ),
    );
  });
});

function outcome(work: () => unknown): string {
  try {
    work();
    return "fine";
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

describe("open or closed", () => {
  it.each([
    ["every day, before", "14:00", "1h", "2026-03-10T13:59:59", "closed 2026-03-10T14:00 2026-03-10T15:00"],
    ["every day, at its start", "14:00", "1h", "2026-03-10T14:00:00", "open 2026-03-10T14:00 2026-03-10T15:00"],
    ["every day, at its end", "14:00", "1h", "2026-03-10T15:00:00", "closed 2026-03-11T14:00 2026-03-11T15:00"],
    ["over midnight", "23:30", "2h", "2026-03-11T00:59:00", "open 2026-03-10T23:30 2026-03-11T01:30"],
    ["over the end of a year", "23:30", "2h", "2027-01-01T00:10:00", "open 2026-12-31T23:30 2027-01-01T01:30"],
    ["once a week", "Thu 23:00", "2h", "2026-03-10T12:00:00", "closed 2026-03-12T23:00 2026-03-13T01:00"],
    [
      "once a week, on the day after",
      "Thu 23:00",
      "2h",
      "2026-03-13T00:30:00",
      "open 2026-03-12T23:00 2026-03-13T01:00",
    ],
    ["over the end of a week", "Sat 20:00", "48h", "2026-03-09T19:00:00", "open 2026-03-07T20:00 2026-03-09T20:00"],
    ["nearly all week", "Mon 00:00", "167h", "2026-03-15T23:30:00", "closed 2026-03-16T00:00 2026-03-22T23:00"],
    ["a leap day", "Sun 12:00", "1h", "2032-02-29T12:30:00", "open 2032-02-29T12:00 2032-02-29T13:00"],
  ])("%s", (_title, start, length, now, want) => {
    expect(show(parseRebootWindow(start, length, UTC), now)).toBe(want);
  });
});

describe("nights when the clocks change (Berlin: 2026-03-29 02:00 to 03:00, 2026-10-25 03:00 back to 02:00)", () => {
  it.each([
    ["winter", "02:30", "1h", "2026-01-10T01:30:00", "open 2026-01-10T01:30 2026-01-10T02:30"],
    ["summer", "02:30", "1h", "2026-07-10T00:30:00", "open 2026-07-10T00:30 2026-07-10T01:30"],
    [
      "a start that is left out is when the clocks jump",
      "02:30",
      "1h",
      "2026-03-29T00:59:00",
      "closed 2026-03-29T01:00 2026-03-29T02:00",
    ],
    [
      "a window over the gap lasts as long as it says",
      "01:30",
      "2h",
      "2026-03-29T02:29:00",
      "open 2026-03-29T00:30 2026-03-29T02:30",
    ],
    [
      "a start that comes twice is the first one",
      "02:30",
      "30m",
      "2026-10-25T00:45:00",
      "open 2026-10-25T00:30 2026-10-25T01:00",
    ],
    ["and only that one", "02:30", "30m", "2026-10-25T01:45:00", "closed 2026-10-26T01:30 2026-10-26T02:00"],
    [
      "a window over the overlap lasts as long as it says",
      "01:30",
      "3h",
      "2026-10-25T02:29:00",
      "open 2026-10-24T23:30 2026-10-25T02:30",
    ],
    [
      "the weekday is that of the zone",
      "Mon 00:30",
      "1h",
      "2026-07-12T22:45:00",
      "open 2026-07-12T22:30 2026-07-12T23:30",
    ],
  ])("%s", (_title, start, length, now, want) => {
    expect(show(parseRebootWindow(start, length, berlin), now)).toBe(want);
  });

  it("a day that a zone leaves out altogether: Samoa, 2011-12-30", () => {
    const apia = timeZone("Pacific/Apia");
    const window = parseRebootWindow("Fri 12:00", "1h", apia);
    expect(show(window, "2011-12-29T23:00:00")).toBe("closed 2011-12-30T10:00 2011-12-30T11:00");
  });

  it("Lord Howe's half hour, and New York's clocks, which change at another time", () => {
    const howe = parseRebootWindow("02:15", "1h", timeZone("Australia/Lord_Howe"));
    expect(show(howe, "2026-10-03T15:00:00")).toBe("closed 2026-10-03T15:30 2026-10-03T16:30");
    const york = parseRebootWindow("02:30", "1h", timeZone("America/New_York"));
    expect(show(york, "2026-03-08T06:00:00")).toBe("closed 2026-03-08T07:00 2026-03-08T08:00");
  });
});

describe("civil time", () => {
  it("days and weekdays are those of the calendar", () => {
    fc.assert(
      fc.property(fc.integer({ min: -100_000, max: 200_000 }), (days) => {
        const date = new Date(days * 86_400_000);
        const civil = { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
        expect(daysOf(civil)).toBe(days);
        expect(weekdayOf(days)).toBe(date.getUTCDay());
      }),
    );
  });

  const zones: Zone[] = ["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca"].map(timeZone);

  it("instantOf gives the first instant at which the clocks show the time or a later one", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: 12_000, max: 22_000 }),
        fc.nat(1_439),
        (zone, days, minute) => {
          const wall = days * 86_400_000 + minute * 60_000;
          const instant = instantOf(days, minute * 60_000, zone);
          const shown = (ms: number) => ms + zone.offsetMs(ms);
          expect(shown(instant)).toBeGreaterThanOrEqual(wall);
          // Just before, the clocks showed less, but for the second turn of an hour that comes twice.
          expect(shown(instant - 1_000)).toBeLessThan(wall);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("a window that is open stays open until it closes, and one that is closed until it opens", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.option(fc.nat(6), { nil: undefined }),
        fc.nat(1_439),
        fc.integer({ min: 1, max: 1_439 }),
        fc.integer({ min: 1_000_000_000, max: 1_900_000_000 }),
        (zone, weekday, startMinute, lengthMinutes, nowS) => {
          const window = { weekday, startMs: startMinute * 60_000, lengthMs: lengthMinutes * 60_000, zone };
          const status = windowAt(window, nowS * 1_000);
          expect(status.closesAtMs).toBeGreaterThan(nowS * 1_000);
          expect(status.isOpen).toBe(status.opensAtMs <= nowS * 1_000);
          expect(windowAt(window, status.opensAtMs)).toEqual({ ...status, isOpen: true });
          expect(windowAt(window, status.closesAtMs - 1)).toEqual({ ...status, isOpen: true });
          expect(windowAt(window, status.closesAtMs).opensAtMs).toBeGreaterThan(status.opensAtMs);
        },
      ),
      { numRuns: 300 },
    );
  });
});

it("jitter is the machine's own, within its span, and spread evenly", () => {
  const span = 600_000;
  const delays = Array.from({ length: 1_000 }, (_, i) => jitterMs(`machine-${i}`, span));
  expect(delays).toEqual(Array.from({ length: 1_000 }, (_, i) => jitterMs(`machine-${i}`, span)));
  const tenths = Array.from({ length: 10 }, (_, i) => delays.filter((ms) => Math.floor((10 * ms) / span) === i).length);
  for (const count of tenths) expect(count).toBeGreaterThan(60);
  expect(jitterMs("m", 0)).toBe(0);
});
