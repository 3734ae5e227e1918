// Forms on the page of the API that send each operation to the store itself. They are made from openapi.json when an operation
// is unfolded. Responses are shown as text.

import { button, element, field, input } from "./dom.js";
import { formatSize } from "./format.js";
import { exchange } from "./http.js";
import { encode } from "./keys.js";

const MAX_SHOWN_SIZE = 64 * 1024;
// Browsers set these headers themselves.
const FORBIDDEN = /^(?:accept-(?:charset|encoding)|access-control-.*|connection|content-length|cookie|date|expect|host|keep-alive|origin|referer|te|trailer|transfer-encoding|upgrade|via|proxy-.*|sec-.*)$/i;
const FORBIDDEN_METHODS = ["TRACE", "CONNECT"];

const root = document.querySelector("main").dataset.root;
let loading;
const description = () => (loading ??= exchange("GET", `${root}/-/openapi.json`).then(({ text }) => JSON.parse(text)).catch((error) => {
  loading = undefined;
  throw error;
}));

for (const details of document.querySelectorAll("details[data-method]")) details.addEventListener("toggle", () => open(details));
// An operation that the URL names may be open before this script runs.
document.querySelectorAll("details[data-method][open]").forEach(open);

async function open(details) {
  if (!details.open || details.querySelector("form, .alert")) return;
  try {
    const api = await description();
    if (!details.querySelector("form")) details.querySelector("summary").after(form(api, details.dataset.path, details.dataset.method));
  } catch (error) {
    const alert = element("p", { class: "alert", role: "alert" }, error.message, " ", button("Try again", () => {
      alert.remove();
      open(details);
    }));
    details.querySelector("summary").after(alert);
  }
}

function form(api, path, method) {
  const follow = (node) => (node?.$ref ? node.$ref.split("/").slice(1).reduce((found, name) => found[name], api) : node);
  const item = api.paths[path];
  const operation = item[method];
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(follow);
  const controls = parameters.map((parameter) => control(parameter, follow(parameter.schema) ?? {}));
  const body = operation.requestBody && follow(operation.requestBody);
  const types = body && !body.content["*/*"] ? Object.keys(body.content) : [];
  const content = body && element("textarea", { rows: 5, spellcheck: "false" });
  const type = body && input({ value: types[0] ?? "", placeholder: "such as text/plain" });
  const inPath = controls.filter(({ parameter }) => parameter.in === "path");
  const others = controls.filter(({ parameter }) => parameter.in !== "path");
  const answer = element("div", { role: "group", "aria-label": "Response", "aria-live": "polite" });
  const isUnsafe = !["get", "head", "options"].includes(method);
  const send = element("button", { class: isUnsafe ? "danger" : "primary" }, `Send ${method.toUpperCase()}`);
  const node = element("form", { onsubmit: async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    send.disabled = true;
    answer.replaceChildren(element("p", { class: "hint" }, "Waiting for the response\u2026"));
    try {
      const headers = filled(others, "header");
      if (type?.value && !headers.some(([name]) => name.toLowerCase() === "content-type")) headers.push(["Content-Type", type.value]);
      const url = target(api, path, inPath, filled(others, "query"));
      const sent = content?.value || (body && isUnsafe) ? new Blob([content.value]) : undefined;
      answer.replaceChildren(...shown(await exchange(method.toUpperCase(), url, { headers, body: sent })));
    } catch (error) {
      answer.replaceChildren(element("p", { class: "alert", role: "alert" }, error.message));
    }
    send.disabled = false;
  } }, element("h3", {}, "Try it"), inPath.map(({ shown }) => shown),
  others.length ? element("details", {}, element("summary", {}, `Query and header fields (${others.length})`),
    element("div", { class: "fields" }, others.map(({ shown }) => shown))) : null,
  content && field("Content", content), type && field("Content-Type", type, types.length > 1 ? types.join(", ") : "empty: the server guesses it"),
  FORBIDDEN_METHODS.includes(method.toUpperCase()) ? element("p", { class: "hint" }, "Browsers can't send this method.") : element("p", { class: "buttons" }, send, isUnsafe ? " This changes the store." : null),
  answer);
  return node;
}

function control(parameter, schema) {
  const values = schema.enum ?? [];
  const forbidden = parameter.in === "header" && FORBIDDEN.test(parameter.name);
  const node = input({ required: parameter.in === "path", disabled: forbidden, placeholder: values.length ? values.slice(0, 4).join(", ") : schema.type ?? "" });
  const hint = forbidden ? "Browsers set this field themselves." : parameter.description;
  return { parameter, node, shown: field(`${parameter.name} (${parameter.in})`, node, hint) };
}

const filled = (controls, place) => controls.filter(({ parameter, node }) => parameter.in === place && node.value)
  .map(({ parameter, node }) => [parameter.name, node.value]);

function target(api, path, inPath, query) {
  let filledIn = path;
  for (const { parameter, node } of inPath) filledIn = filledIn.replace(`{${parameter.name}}`, () => encode(node.value));
  const parameters = new URLSearchParams(query);
  return api.servers[0].url.replace(/\/$/, "") + filledIn + (parameters.size ? `?${parameters}` : "");
}

// Return the nodes of a response: status and time, headers, content.
function shown({ status, statusText, url, redirected, headers, text, size, time_ms }) {
  const line = `${status} ${statusText}`.trim();
  const more = redirected ? `, after a redirect to ${url}` : "";
  const content = text === null ? `${formatSize(size)} of binary content.` : text.slice(0, MAX_SHOWN_SIZE);
  return [
    element("p", {}, element("b", {}, line), `, ${formatSize(size)} in ${Math.round(time_ms)} ms${more}`),
    element("pre", { tabindex: 0, "aria-label": "Headers" }, headers.map(([name, value]) => `${name}: ${value}`).join("\n")),
    size ? element("pre", { tabindex: 0, "aria-label": "Content" }, content) : null,
    size && text !== null && text.length > MAX_SHOWN_SIZE ? element("p", { class: "hint" }, `Only the first ${formatSize(MAX_SHOWN_SIZE)} are shown.`) : null,
  ].filter(Boolean);
}
