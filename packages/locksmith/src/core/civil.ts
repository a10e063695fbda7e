/** A date as a calendar on the wall shows it. `month` counts from 1. */
export interface CivilDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** A time zone: how far its clocks are ahead of UTC at an instant, in milliseconds. */
export interface Zone {
  readonly name: string;
  offsetMs(utcMs: number): number;
}

export const UTC: Zone = { name: "UTC", offsetMs: () => 0 };

const DAY_MS = 86_400_000;

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar; `day` may lie outside of its month. */
export function daysOf({ year, month, day }: CivilDate): number {
  // Years that begin in March put the leap day last.
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5);
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_469 + day;
}

/** The day of the week of a day number: 0 is Sunday. */
export function weekdayOf(days: number): number {
  return (((days + 4) % 7) + 7) % 7;
}

/** The number of the day that the zone's calendar shows at an instant. */
export function localDays(utcMs: number, zone: Zone): number {
  return Math.floor((utcMs + zone.offsetMs(utcMs)) / DAY_MS);
}

/**
 * The instant at which the clocks of a zone show a time of day, milliseconds UTC. A time that comes twice (clocks go back)
 * means the first; one that is left out (clocks go forward) means the moment at which the clocks jump.
 */
export function instantOf(days: number, timeOfDayMs: number, zone: Zone): number {
  const wall = days * DAY_MS + timeOfDayMs;
  // No zone has been farther from UTC than a day, nor changed its clocks twice within two.
  const before = zone.offsetMs(wall - DAY_MS);
  const after = zone.offsetMs(wall + DAY_MS);
  const early = wall - Math.max(before, after);
  const late = wall - Math.min(before, after);
  if (early + zone.offsetMs(early) === wall) return early;
  if (late + zone.offsetMs(late) === wall) return late;
  return jumpBetween(early, late, wall, zone);
}

/** The first instant at which the clocks are past `wall`: within the gap they jump over it. */
function jumpBetween(low: number, high: number, wall: number, zone: Zone): number {
  let [under, over] = [low, high];
  while (over - under > 1) {
    const middle = Math.floor((under + over) / 2);
    if (middle + zone.offsetMs(middle) < wall) under = middle;
    else over = middle;
  }
  return over;
}
