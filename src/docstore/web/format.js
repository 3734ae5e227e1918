// Sizes, counts, ages, TTLs and times as people read and write them. The server formats the same values in the same way, so a
// list that it rendered does not change when the script takes over.

const SIZE_UNITS = ["KiB", "MiB", "GiB", "TiB"];
const AGE_UNITS = [[31_536_000, "y"], [2_592_000, "mo"], [86_400, "d"], [3600, "h"], [60, "min"]];
const TTL_UNITS = { s: 1, m: 60, min: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 };

export function formatSize(bytes) {
  if (bytes < 1024) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  let exponent = 0;
  while (exponent < SIZE_UNITS.length && bytes >= 1024 ** (exponent + 1)) exponent += 1;
  const tenths = Math.floor((bytes * 10) / 1024 ** exponent);
  return `${tenths < 100 ? (tenths / 10).toFixed(1) : Math.floor(tenths / 10)} ${SIZE_UNITS[exponent - 1]}`;
}

export const totalSize = (metas) => metas.reduce((sum, meta) => sum + meta.size, 0);

export const plural = (count, noun) => (count === 1 ? `1 ${noun}` : `${count.toLocaleString("en")} ${noun}s`);

export function formatAge(seconds) {
  const [unit_s, name] = AGE_UNITS.find(([unit_s]) => seconds >= unit_s) ?? [];
  return unit_s ? `${Math.floor(seconds / unit_s)} ${name}` : "now";
}

// Return the seconds of `90`, `12 h`, `7d` or `1h30m`, as units.py reads them; null for an empty text, undefined for an
// invalid one.
export function parseTTL(text) {
  if (!text.trim()) return null;
  if (/^\s*[0-9]{1,9}\s*$/.test(text)) return Number(text) || undefined;
  if (!/^\s*(?:[0-9]{1,9} ?(?:y|w|d|h|min|m|s) ?)+\s*$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([0-9]+) ?([a-z]+)/g)];
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * TTL_UNITS[unit], 0) || undefined;
}

export function formatTTL(seconds) {
  const unit = ["y", "d", "h", "min"].find((name) => seconds % TTL_UNITS[name] === 0 && seconds) ?? "s";
  return `${seconds / TTL_UNITS[unit]} ${unit}`;
}

export const localTime = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

// The match of a sticky pattern at this place in a text, or null.
export function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
