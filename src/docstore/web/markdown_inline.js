// Markdown within a line: code, links, images, emphasis and breaks, as DOM nodes. See markdown.js.

import { button, element } from "./dom.js";
import { matchAt } from "./format.js";

const MAX_DEPTH = 6;
const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const BREAK = /(?: {2,}|\\)\n/y;
const LINK = /(!?)\[((?:[^[\]\\]|\\.|!\[[^[\]\n]{0,200}\]\([^()\s]{0,2000}\)){0,2000})\](?:\(\s{0,9}<?([^\s<>()]{0,2000}(?:\([^\s<>()]{0,2000}\)[^\s<>()]{0,2000})?)>?(?:\s{1,9}(?:"[^"\n]{0,500}"|'[^'\n]{0,500}'))?\s{0,9}\)|\[([^[\]]{0,200})\])/y;
const ADDRESS = /<?(https?:\/\/[^\s<>"'`]{1,2000}|mailto:[^\s<>"'`]{1,500})>?/y;
const EMPHASIS = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "s" };

// Return the nodes of a text. `links` has `link(address)` and `image(address)`, which return attributes for an `a` or an
// `img`, or null for an address that must not be followed or loaded.
export function inlineNodes(text, links, depth = 0) {
  const nodes = [];
  const unclosed = new Set();
  let plain = "";
  for (let at = 0; at < text.length; ) {
    const found = special(text, at, links, depth, unclosed) ?? { node: text[at], size: 1 };
    at += found.size;
    if (typeof found.node === "string") plain += found.node;
    else {
      nodes.push(plain, found.node);
      plain = "";
    }
  }
  return [...nodes, plain];
}

// Return the node at this place with the size of its text, or null for a plain character.
function special(text, at, links, depth, unclosed) {
  const character = text[at];
  if (character === "\\") {
    const escaped = matchAt(ESCAPED, text, at);
    if (escaped) return { node: escaped[1], size: 2 };
  }
  if (character === "\\" || character === " ") {
    const found = matchAt(BREAK, text, at);
    return found && { node: element("br"), size: found[0].length };
  }
  if (character === "`") return codeSpan(text, at, unclosed);
  if (character === "[" || (character === "!" && text[at + 1] === "[")) return link(text, at, links, depth);
  if (character === "<" || ((character === "h" || character === "m") && !/\w/.test(text[at - 1] ?? ""))) {
    const found = matchAt(ADDRESS, text, at);
    if (!found || (character === "<" && !found[0].endsWith(">"))) return null;
    const address = character === "<" ? found[1] : found[1].replace(/[.,;:!?)\]*_~]{1,9}$/, "");
    return { node: anchor(address, [address], links), size: character === "<" ? found[0].length : address.length };
  }
  return character in { "*": 1, _: 1, "~": 1 } ? emphasis(text, at, links, depth, unclosed) : null;
}

function codeSpan(text, at, unclosed) {
  let size = 1;
  while (text[at + size] === "`") size += 1;
  const fence = "`".repeat(size);
  let end = unclosed.has(fence) ? -1 : text.indexOf(fence, at + size);
  while (end >= 0 && text[end + size] === "`") {
    let next = end + size;
    while (text[next] === "`") next += 1;
    end = text.indexOf(fence, next);
  }
  if (end < 0) {
    unclosed.add(fence);
    return { node: fence, size };
  }
  const inner = text.slice(at + size, end).replaceAll("\n", " ");
  return { node: element("code", {}, /^ .*[^ ].* $/.test(inner) ? inner.slice(1, -1) : inner), size: end + size - at };
}

function link(text, at, links, depth) {
  const found = matchAt(LINK, text, at);
  if (!found || depth > MAX_DEPTH) return null;
  const [all, mark, label, address] = found;
  if (address === undefined) return { node: mark + label.replaceAll("\\", ""), size: all.length };
  if (!mark) return { node: anchor(address, inlineNodes(label, links, depth + 1), links), size: all.length };
  const image = links.image(address);
  if (image) return { node: element("img", { ...image, alt: label, loading: "lazy" }), size: all.length };
  return { node: anchor(address, [`[image: ${label || address}]`], links), size: all.length };
}

function anchor(address, nodes, links) {
  if (address.startsWith("#")) {
    const jump = (event) => {
      const slug = decode(address.slice(1)).toLowerCase();
      const heading = [...event.currentTarget.closest(".markdown").querySelectorAll("[data-slug]")].find((one) => one.dataset.slug === slug);
      heading?.focus();
    };
    return button(nodes, jump, { class: "link" });
  }
  const attributes = links.link(address);
  return attributes ? element("a", attributes, nodes) : element("span", {}, nodes);
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function emphasis(text, at, links, depth, unclosed) {
  const character = text[at];
  const mark = text[at + 1] === character ? character.repeat(2) : character;
  const tag = EMPHASIS[mark];
  const begin = at + mark.length;
  const insideWord = character === "_" && /\w/.test(text[at - 1] ?? "");
  let end = -1;
  if (tag && depth < MAX_DEPTH && !insideWord && /\S/.test(text[begin] ?? "") && !unclosed.has(mark)) {
    end = closing(text, begin + 1, mark);
    if (end < 0) unclosed.add(mark);
  }
  if (end < 0) return { node: mark, size: mark.length };
  return { node: element(tag, {}, inlineNodes(text.slice(begin, end), links, depth + 1)), size: end + mark.length - at };
}

// The place of the mark that closes an emphasis. It follows a character that is not a blank; `_` also ends a word.
function closing(text, from, mark) {
  const character = mark[0];
  for (let at = text.indexOf(mark, from); at >= 0; at = text.indexOf(mark, at)) {
    let end = at;
    while (text[end] === character) end += 1;
    const fits = mark.length === 2 ? end - at >= 2 : end - at !== 2;
    if (fits && /\S/.test(text[at - 1]) && text[at - 1] !== "\\" && (character !== "_" || !/\w/.test(text[end] ?? ""))) {
      return mark.length === 1 && end - at > 2 ? end - 1 : end - mark.length;
    }
    at = end;
  }
  return -1;
}
