// The rules for keys, their form in a URL, and suggested keys for file names that break the rules, which are those of
// keys.py; the server checks every key again.

const RULES = {
  name: { isValid: (key) => /^[A-Za-z0-9_-]{1,255}$/.test(key), description: "1 to 255 characters of A-Z a-z 0-9 _ -" },
  path: {
    isValid: (key) => sizeOf(key) <= 1024 && !CONTROL.test(key) && key.split("/").every(isSegment),
    description: "names separated by /, none of them empty, . or .., at most 1,024 bytes",
  },
};
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
const sizeOf = (text) => new TextEncoder().encode(text).length;
const isSegment = (part) => ![".", "..", ""].includes(part) && sizeOf(part) <= 255;

export const isValidKey = (rule, key) => RULES[rule].isValid(key);
export const encode = (key) =>
  key.split("/").map((part) => encodeURIComponent(part).replace(/[!'()*]/g, escape)).join("/");
const escape = (character) => "%" + character.charCodeAt(0).toString(16).toUpperCase();
export const describeRule = (rule) => RULES[rule].description;

// Truncate to `limit` bytes of UTF-8, never within a character.
function truncate(text, limit) {
  let kept = "";
  let size = 0;
  for (const character of text) {
    size += sizeOf(character);
    if (size > limit) break;
    kept += character;
  }
  return kept;
}

export function suggestKey(rule, path) {
  if (isValidKey(rule, path)) return path;
  if (rule === "name") return path.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 255) || "file";
  const parts = path.toWellFormed().replace(new RegExp(CONTROL, "g"), "-").split("/");
  const key = parts.filter((part) => ![".", "..", ""].includes(part)).map((part) => truncate(part, 255)).join("/");
  return truncate(key, 1024).replace(/\/$/, "") || "file";
}

// Add a number to a key: `a` becomes `a-2`, `b/a.txt` becomes `b/a-2.txt`.
export function numberKey(rule, key, number) {
  const [, stem, end] = rule === "path" ? /^(.*?[^/]?)((?:\.[^./]{1,20})?)$/s.exec(key) : [key, key, ""];
  const tail = `-${number}${end}`;
  const slash = stem.lastIndexOf("/") + 1;
  const limit = Math.min(255 - sizeOf(tail), 1024 - sizeOf(stem.slice(0, slash) + tail));
  return stem.slice(0, slash) + truncate(stem.slice(slash), limit) + tail;
}

// Show invisible and direction-changing characters by their code, so that no key looks like another one.
export const escapeBidi = (key) =>
  key.replace(/[\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) => `\u27e8U+${hex(c)}\u27e9`);
const hex = (character) => character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
