// Markdown as DOM nodes: the common part of CommonMark with tables, task lists and struck text. Markup in the document is
// shown as text, and nothing is parsed as HTML. Blocks are here; links, emphasis and code within a line are in
// markdown_inline.js. Depth is limited, and every pattern is linear, because the text is not trusted.

import { element } from "./dom.js";
import { inlineNodes } from "./markdown_inline.js";
import { coloured, languageNamed } from "./syntax.js";

const MAX_DEPTH = 12;
const MAX_COLUMNS = 50;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( {1,4}|\t|$)/;
const CELLS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/;

// Return the nodes of a text. `links` resolves addresses: see `inlineNodes`.
export function markdownNodes(text, links) {
  const front = /^---\n([^]*?)\n---(?:\n|$)/.exec(text);
  const lines = (front ? text.slice(front[0].length) : text).split("\n").map((line) => line.replaceAll("\t", "    "));
  const nodes = blocks(lines, links, 0);
  return front ? [code(front[1], "settings"), ...nodes] : nodes;
}

const code = (text, language) => element("pre", {}, element("code", {}, coloured(text, language)));
const isBlank = (line) => !line.trim();
const startsBlock = (line) => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);

function blocks(lines, links, depth) {
  const nodes = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at];
    const [node, next] = isBlank(line) ? [null, at + 1] : block(lines, at, links, depth);
    if (node) nodes.push(node);
    at = next;
  }
  return nodes;
}

// Return the node of the block that begins at a line, and the line after it.
function block(lines, at, links, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [title(heading[1].length, heading[2] ?? "", links), at + 1];
  if (RULE.test(line)) return [element("hr"), at + 1];
  if (line.startsWith("    ")) return indented(lines, at);
  if (depth < MAX_DEPTH) {
    if (QUOTE.test(line)) return quote(lines, at, links, depth);
    if (ITEM.test(line)) return list(lines, at, links, depth);
  }
  if (line.includes("|") && CELLS.test(lines[at + 1] ?? "")) return table(lines, at, links);
  return paragraph(lines, at, links);
}

// The document has an h2 in the title of the view, so its headings begin with h3.
function title(level, text, links) {
  const node = element(`h${Math.min(level + 2, 6)}`, { class: `level-${level}`, tabindex: -1 }, inlineNodes(text, links));
  node.dataset.slug = node.textContent.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
  return node;
}

function fenced(lines, at, [, mark, name]) {
  let end = at + 1;
  while (end < lines.length && !(lines[end].trim().startsWith(mark) && !lines[end].trim().slice(mark.length).replaceAll(mark[0], ""))) end += 1;
  return [code(lines.slice(at + 1, end).join("\n"), languageNamed(name.toLowerCase())), end + 1];
}

function indented(lines, at) {
  let end = at;
  while (end < lines.length && (lines[end].startsWith("    ") || isBlank(lines[end]))) end += 1;
  return [code(lines.slice(at, end).map((line) => line.slice(4)).join("\n").trimEnd()), end];
}

function quote(lines, at, links, depth) {
  let end = at;
  while (end < lines.length && (QUOTE.test(lines[end]) || (end > at && !isBlank(lines[end]) && !startsBlock(lines[end])))) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [element("blockquote", {}, blocks(inner, links, depth + 1)), end];
}

function list(lines, at, links, depth) {
  const first = ITEM.exec(lines[at])[2];
  const ordered = /\d/.test(first);
  const items = [];
  let loose = false;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || RULE.test(lines[at]) || /\d/.test(item[2]) !== ordered) break;
    const width = item[0].length;
    const inner = [lines[at].slice(width)];
    for (at += 1; at < lines.length; at += 1) {
      const indent = lines[at].length - lines[at].trimStart().length;
      if (isBlank(lines[at])) inner.push("");
      else if (indent >= Math.min(width, 2) && indent >= item[1].length + 2) inner.push(lines[at].slice(Math.min(indent, width)));
      else if (inner.at(-1) && !startsBlock(lines[at])) inner.push(lines[at].trimStart());
      else break;
    }
    const blanks = inner.length - inner.findLastIndex((line) => line) - 1;
    const next = ITEM.exec(lines[at] ?? "");
    const continues = blanks > 0 && next && /\d/.test(next[2]) === ordered;
    inner.length -= blanks;
    loose ||= continues || inner.includes("");
    items.push(inner);
  }
  return [element(ordered ? "ol" : "ul", { start: ordered ? Number.parseInt(first, 10) : null },
    items.map((inner) => listItem(inner, links, depth, loose))), at];
}

function listItem(inner, links, depth, loose) {
  const task = /^\[([ xX])\] /.exec(inner[0]);
  if (task) inner[0] = inner[0].slice(4);
  const nodes = blocks(inner, links, depth + 1);
  const box = task && element("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", "aria-label": "Done" });
  const shown = loose ? nodes : nodes.flatMap((node) => (node.tagName === "P" ? [...node.childNodes] : [node]));
  return element("li", { class: task ? "task" : null }, box, box && " ", shown);
}

function cellsOf(line) {
  const text = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return text.split(/(?<!\\)\|/).slice(0, MAX_COLUMNS).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(lines, at, links) {
  const head = cellsOf(lines[at]);
  const numeric = cellsOf(lines[at + 1]).map((cell) => cell.endsWith(":") && !cell.startsWith(":"));
  const row = (tag, attributes) => (cells) => element("tr", {}, head.map((_, index) =>
    element(tag, { ...attributes, class: numeric[index] ? "number" : null }, inlineNodes(cells[index] ?? "", links))));
  let end = at + 2;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines[end])) end += 1;
  return [element("div", { class: "cells", tabindex: 0, role: "group", "aria-label": "Table" }, element("table", {},
    element("thead", {}, row("th", { scope: "col" })(head)),
    element("tbody", {}, lines.slice(at + 2, end).map((line) => row("td", {})(cellsOf(line)))))), end];
}

function paragraph(lines, at, links) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !UNDERLINE.test(lines[end]) && !startsBlock(lines[end])) end += 1;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join("\n").trimEnd();
  const under = UNDERLINE.exec(lines[end] ?? "");
  if (under) return [title(under[1][0] === "=" ? 1 : 2, text, links), end + 1];
  return [element("p", {}, inlineNodes(text, links)), end];
}
