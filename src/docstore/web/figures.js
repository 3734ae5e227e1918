// Sizes, ages and lives as people read and write them. server/figures.py words them the same: a list that the server
// made does not change when the script takes it over.

const SIZES = ["KiB", "MiB", "GiB", "TiB"];
const SPANS = [[31_536_000, "y"], [2_592_000, "mo"], [86_400, "d"], [3600, "h"], [60, "min"]];
const LIVES = { s: 1, min: 60, h: 3600, d: 86_400, y: 31_536_000 };

export function size(count) {
  if (count < 1024) return count === 1 ? "1 byte" : `${count} bytes`;
  let exponent = 0;
  while (exponent < SIZES.length && count >= 1024 ** (exponent + 1)) exponent += 1;
  const tenths = Math.floor((count * 10) / 1024 ** exponent);
  return `${tenths < 100 ? (tenths / 10).toFixed(1) : Math.floor(tenths / 10)} ${SIZES[exponent - 1]}`;
}

export function span(seconds) {
  const [unit, name] = SPANS.find(([unit]) => seconds >= unit) ?? [];
  return unit ? `${Math.floor(seconds / unit)} ${name}` : "now";
}

// Seconds from `90`, `90 s`, `12 h` or `7 d`; null for nothing, which is for ever; undefined for what is none of these.
export function parseLife(text) {
  if (!text.trim()) return null;
  const [, figure, unit] = /^\s*([1-9][0-9]{0,8})\s*(s|min|h|d|y)?\s*$/.exec(text) ?? [];
  return figure && Number(figure) * LIVES[unit ?? "s"];
}

export function life(seconds) {
  const unit = Object.keys(LIVES).reverse().find((name) => seconds % LIVES[name] === 0 && seconds >= LIVES[name]);
  return `${seconds / LIVES[unit ?? "s"]} ${unit ?? "s"}`;
}

export const moment = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
