// The foldable preview of JSON: `details` elements that are filled when they are unfolded, so a large document costs little.

import { button, element } from "./dom.js";
import { plural } from "./format.js";

const MAX_DEPTH = 100;
const MAX_MEMBERS = 500;
const MAX_UNFOLDED = 2000;

class JSONNumber {
  constructor(source) {
    this.source = source;
  }
}

// Parse JSON and keep the source text of numbers, because a double can't hold 12345678901234567890. Return null for a text
// that is not JSON or too deep to show, else an object with the value.
export function parseJSON(source) {
  let deepest = 0;
  let depth = 0;
  for (const character of source) {
    if (character === "[" || character === "{") deepest = Math.max(deepest, (depth += 1));
    else if (character === "]" || character === "}") depth -= 1;
  }
  if (deepest > MAX_DEPTH) return null;
  try {
    return { value: JSON.parse(source, (_, value, context) =>
      typeof value === "number" ? new JSONNumber(context?.source ?? String(value)) : value) };
  } catch {
    return null;
  }
}

// Return the tree of a value from parseJSON; its first two levels are unfolded.
export function jsonTree(value) {
  const node = element("div", { class: "json content" }, tree(value, 2));
  if (!node.querySelector("details")) return node;
  const foldAll = () => {
    for (const part of node.querySelectorAll("details details")) part.open = false;
  };
  const unfoldAll = () => {
    const waiting = [...node.querySelectorAll("details")];
    for (let count = 0; waiting.length && count < MAX_UNFOLDED; count += 1) {
      const part = waiting.shift();
      part.open = true;
      part.fill();
      waiting.push(...part.querySelectorAll(":scope > ul > li > details"));
    }
  };
  node.prepend(element("p", { class: "tools" }, button("Unfold all", unfoldAll), button("Fold all", foldAll)));
  return node;
}

// The first `open` levels are unfolded; deeper members are created when unfolded.
function tree(value, open, ...name) {
  if (value instanceof JSONNumber) return element("span", {}, ...name, element("span", { class: "number" }, value.source));
  if (value === null || typeof value !== "object") {
    const kind = typeof value === "string" ? "string" : "keyword";
    return element("span", {}, ...name, element("span", { class: kind }, JSON.stringify(value)));
  }
  const [first, last, one] = Array.isArray(value) ? ["[", "]", "item"] : ["{", "}", "member"];
  const members = Object.entries(value);
  if (!members.length) return element("span", {}, ...name, first + last);
  const count = element("small", {}, plural(members.length, one));
  const node = element("details", { open: open > 0 }, element("summary", {}, ...name, `${first}\u2026${last} `, count));
  const named = (key) => [element("b", {}, Array.isArray(value) ? key : JSON.stringify(key)), ": "];
  const list = element("ul", {});
  const more = (from) => {
    const until = from + MAX_MEMBERS;
    list.append(...members.slice(from, until).map(([key, member]) => element("li", {}, tree(member, open - 1, ...named(key)))));
    if (until >= members.length) return;
    const line = element("li", {}, button(`Show more of ${members.length - until}`, () => {
      line.remove();
      more(until);
    }));
    list.append(line);
  };
  node.fill = () => {
    if (!node.open || list.parentElement) return;
    more(0);
    node.append(list);
  };
  node.addEventListener("toggle", node.fill);
  node.fill();
  return node;
}
