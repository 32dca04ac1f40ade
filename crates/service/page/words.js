// Numbers and times in words.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const day = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// 12345 as 12,345.
export const count = (number) => whole.format(number);

// A count with its noun.
export const counted = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

// With so many digits as tell something.
export function figure(number) {
  const size = Math.abs(number);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return number.toExponential(2);
  return number.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 4);
}

export const percent = (share) => `${(100 * share).toFixed(2)} %`;

export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
  const at = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(number, 1)) / 3)));
  const size = number / 1000 ** at;
  return `${at > 0 && size < 100 ? size.toFixed(1) : count(size)} ${units[at]}`;
}

// A length of time.
export function duration(seconds) {
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

// How long ago something was.
export function ago(time) {
  const seconds = Math.max(0, Date.now() / 1000 - time);
  if (seconds < 60) return "a moment ago";
  if (seconds < 3600) return `${counted(Math.floor(seconds / 60), "minute")} ago`;
  if (seconds < 172800) return `${counted(Math.floor(seconds / 3600), "hour")} ago`;
  return `${counted(Math.floor(seconds / 86400), "day")} ago`;
}

// A time in seconds since 1970, as its day and time.
export const moment = (time) => day.format(new Date(time * 1000));

export const timeOfDay = (time) => clock.format(new Date(time * 1000));

// The beginning of an id or fingerprint, by which people tell it from others.
export const short = (id) => (id.length > 12 ? `${id.slice(0, 12)}…` : id);
