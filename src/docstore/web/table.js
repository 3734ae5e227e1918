// The preview of CSV and TSV as a table of text nodes. A separator other than the comma is recognized by the first line.

import { element } from "./dom.js";
import { plural } from "./format.js";

const MAX_COLUMNS = 100;
const NUMBER = /^\s*[-+]?(?:\d[\d,. \u00a0']*)(?:[eE][-+]?\d+)?\s*%?\s*$/;

// Return at most `limit` rows, and how many rows there are. The last row of an incomplete text is left out.
export function parseRows(text, separator, limit, complete = true) {
  const rows = [];
  let count = 0;
  let row = [];
  let at = text.startsWith("\ufeff") ? 1 : 0;
  const endRow = () => {
    if (row.length > 1 || row[0]) {
      count += 1;
      if (rows.length < limit) rows.push(row);
    }
    row = [];
  };
  while (at < text.length) {
    let cell = "";
    if (text[at] === '"') {
      for (;;) {
        const end = text.indexOf('"', at + 1);
        cell += text.slice(at + 1, end < 0 ? text.length : end);
        at = end < 0 ? text.length : end + 1;
        if (text[at] !== '"') break;
        cell += '"';
      }
    }
    let end = at;
    while (end < text.length && text[end] !== separator && text[end] !== "\n" && text[end] !== "\r") end += 1;
    row.push(cell + text.slice(at, end));
    at = end + (text.startsWith("\r\n", end) ? 2 : 1);
    if (text[end] === separator) {
      if (at >= text.length) row.push("");
    } else if (end < text.length) endRow();
  }
  if (complete) endRow();
  return { rows, count };
}

export function guessSeparator(text, type) {
  if (type === "text/tab-separated-values") return "\t";
  const line = text.slice(0, 4096).split(/[\r\n]/, 1)[0].replace(/"[^"]*"/g, "");
  const counts = [",", ";", "\t", "|"].map((separator) => [separator, line.split(separator).length]);
  return counts.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

// Return the table and a sentence that says how much of it is shown. The first row is the header.
export function table(text, type, limit, complete) {
  const { rows: [head = [], ...rows], count } = parseRows(text, guessSeparator(text, type), limit + 1, complete);
  const width = rows.reduce((most, row) => Math.max(most, row.length), head.length);
  const columns = [...Array(Math.min(width, MAX_COLUMNS)).keys()];
  const numeric = columns.map((index) => rows.length > 0 && rows.every((row) => !row[index]?.trim() || NUMBER.test(row[index])));
  const cell = (tag, attributes) => (row) => element("tr", {}, columns.map((index) =>
    element(tag, { ...attributes, class: numeric[index] ? "number" : null }, row[index] ?? "")));
  const shown = [
    rows.length < count - 1 || !complete ? `The first ${rows.length} of ${(count - 1).toLocaleString("en")}${complete ? "" : " or more"} rows` : plural(count - 1, "row"),
    width > MAX_COLUMNS ? `the first ${MAX_COLUMNS} of ${width} columns` : plural(width, "column"),
  ].join(", ");
  const node = element("div", { class: "cells content", tabindex: 0, role: "group", "aria-label": "Table" },
    element("table", {}, element("thead", {}, cell("th", { scope: "col" })(head)), element("tbody", {}, rows.map(cell("td", {})))));
  return { node, shown, rows: rows.length };
}
