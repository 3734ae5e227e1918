// Which keys a mount takes, and keys proposed for names that it does not. The rules are those of keys.py; the store has
// the last word, so a proposal may be refused, but nothing is stored under a key that was not shown.

const RULES = {
  name: { fits: (key) => /^[A-Za-z0-9_-]{1,255}$/.test(key), say: "1 to 255 of A-Z a-z 0-9 _ -" },
  path: {
    fits: (key) => sizeOf(key) <= 1024 && !CONTROL.test(key) && key.split("/").every(isSegment),
    say: "names with / between them, none empty, . or .., up to 1,024 bytes",
  },
};
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
const sizeOf = (text) => new TextEncoder().encode(text).length;
const isSegment = (part) => ![".", "..", ""].includes(part) && sizeOf(part) <= 255;

export const fits = (rule, key) => RULES[rule].fits(key);
export const rule = (name) => RULES[name].say;

// Cut to `limit` bytes of UTF-8, never within a character.
function cut(text, limit) {
  let kept = "";
  let size = 0;
  for (const character of text) {
    size += sizeOf(character);
    if (size > limit) break;
    kept += character;
  }
  return kept;
}

export function propose(rule, path) {
  if (fits(rule, path)) return path;
  if (rule === "name") return path.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 255) || "file";
  const parts = path.toWellFormed().replace(new RegExp(CONTROL, "g"), "-").split("/");
  const key = parts.filter((part) => ![".", "..", ""].includes(part)).map((part) => cut(part, 255)).join("/");
  return cut(key, 1024).replace(/\/$/, "") || "file";
}

// The key with a number: `a` gives `a-2`, `b/a.txt` gives `b/a-2.txt`.
export function numbered(rule, key, number) {
  const [, stem, end] = rule === "path" ? /^(.*?[^/]?)((?:\.[^./]{1,20})?)$/s.exec(key) : [key, key, ""];
  const tail = `-${number}${end}`;
  const slash = stem.lastIndexOf("/") + 1;
  const room = Math.min(255 - sizeOf(tail), 1024 - sizeOf(stem.slice(0, slash) + tail));
  return stem.slice(0, slash) + cut(stem.slice(slash), room) + tail;
}

// Characters that turn the order of others around would make a name read as another: they are spelled out.
export const spelled = (key) =>
  key.replace(/[\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) => `\u27e8U+${hex(c)}\u27e9`);
const hex = (character) => character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
