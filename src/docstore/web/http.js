// The HTTP client of the page: header fields, conditions, statuses and timeouts. It uses the public API only and must not
// know the page. Uploads use XMLHttpRequest, because fetch reports no upload progress.

import { encode } from "./keys.js";

const TIMEOUT_MS = 30_000;
// Over plain HTTP, X-Requested-With alone tells the server that this is a browser, which must not open its own login dialog.
const JSON_FIRST = { Accept: "application/json, */*;q=0.1", "X-Requested-With": "fetch" };

// Ask the user to log in again, and return whether that was done: `login.js` sets it on pages of users who have logged in.
const login = { renew: async () => false };
export const setRenewal = (renew) => {
  login.renew = renew;
};

// Title and advice for responses without a problem document, for example from a proxy.
const FALLBACKS = {
  0: ["the store can't be reached", "Check that it runs and that this machine is online, then try again."],
  401: ["authentication is required", "Log in to this store, then try again."],
  403: ["this is not allowed", "Ask the operator of this store for access."],
  404: ["not found", "The document was deleted, or it expired."],
  408: ["the request took too long", "Try again."],
  412: ["the document was changed meanwhile", "Open it again, then repeat the change."],
  413: ["too large for this store", "Send less, or use a mount with a higher limit."],
  428: ["the server requires a condition on every write", "Reload the page, then try again."],
  502: ["the server behind the proxy does not respond", "Try again in a moment."],
  503: ["the storage is unavailable", "Try again in a moment."],
  507: ["no space left in the store", "Delete documents, or give the mount more space."],
};

// `type` is the name of the problem's row in /-/problems, "" for a response without a problem document.
export class Problem extends Error {
  constructor(status, title, detail = "", advice = "", type = "") {
    super([title, detail].filter(Boolean).join(": ") + ". " + advice);
    Object.assign(this, { status, type });
  }
}

const unreachable = () => new Problem(0, FALLBACKS[0][0], navigator.onLine ? "" : "this machine is offline", FALLBACKS[0][1]);
const timedOut = () => new Problem(408, "no response in time", "", "Try again.");

function problemFrom(status, mediaType, text) {
  if (/^application\/problem\+json/.test(mediaType ?? "")) {
    try {
      const problem = JSON.parse(text);
      return new Problem(status, problem.title, problem.detail, problem.advice, problem.type?.split("#")[1]);
    } catch {
      // A proxy may truncate the body; then only the status is known.
    }
  }
  const [title, advice] = FALLBACKS[status] ?? [`the server responded with ${status}`, "See the log of the server."];
  return new Problem(status, title, "", advice);
}

let ahead_ms = 0;

// The time of the server in ms since 1970: the server's clock decides what has expired, not this machine's.
export const now = () => Date.now() + ahead_ms;

function updateClock(date) {
  const server = Date.parse(date);
  if (Math.abs(server - now()) > 2000) ahead_ms = server - Date.now();
}

async function request(method, path, { headers = {}, body, signal, timeout_ms = TIMEOUT_MS } = {}) {
  const signals = [AbortSignal.timeout(timeout_ms), ...(signal ? [signal] : [])];
  let answer;
  try {
    const sent = { ...JSON_FIRST, ...headers };
    const options = { method, headers: sent, body, cache: "no-store", redirect: "error", signal: AbortSignal.any(signals) };
    answer = await fetch(path, options);
    updateClock(answer.headers.get("Date"));
    if (answer.ok) return answer;
    const text = await answer.text();
    if (answer.status === 401 && (await login.renew())) return await request(method, path, { headers, body, signal, timeout_ms });
    throw problemFrom(answer.status, answer.headers.get("Content-Type"), text);
  } catch (error) {
    throw toProblem(error);
  }
}

// Send any request and return its response, whatever the status: for people who try the API. `headers` are pairs. The text is
// null for content that is not UTF-8.
export async function exchange(method, url, { headers = [], body } = {}) {
  const begin = performance.now();
  try {
    const answer = await fetch(url, { method, headers, body, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    let text = null;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      // Binary content has no text.
    }
    const { status, statusText, redirected } = answer;
    return { status, statusText, redirected, url: answer.url, headers: [...answer.headers], text, size: bytes.length, time_ms: performance.now() - begin };
  } catch (error) {
    if (error instanceof TypeError && /header|method|value/i.test(error.message)) throw new Error(`The browser can't send this request: ${error.message}`);
    throw toProblem(error);
  }
}

// Sign a link, and return its id and its URL. `links` is the URL of the service; `wanted` has a path and what it allows.
export async function signLink(links, wanted) {
  const headers = { "Content-Type": "application/json" };
  const { id, url } = await (await request("POST", links, { headers, body: JSON.stringify(wanted) })).json();
  return { id, url: new URL(url, links).href };
}

export const revokeLink = (links, id) => request("DELETE", `${links}/${id}`);

function toProblem(error) {
  if (error.name === "TimeoutError") return timedOut();
  return error instanceof TypeError ? unreachable() : error;
}

// Browsers decode a Content-Encoding, so the page can't store such bytes again unchanged.
export const contentCoding = (meta) => meta.fields?.["content-encoding"];

export const etagOf = (meta) => `"${meta.version}"`;

// Whether a write may have been applied although it failed.
export const isUnknown = ({ status, type }) => [0, 408, 502, 504].includes(status) || type === "outcome-unknown";

export class Collection {
  // `requestNames` maps the names of stored fields, in lower case, to the headers of a write that store them.
  constructor(mount, requestNames) {
    Object.assign(this, { mount, requestNames });
  }

  address = (key) => this.mount + encode(key);

  async list(query, signal) {
    const parameters = new URLSearchParams(query);
    parameters.set("format", "json");
    return (await request("GET", `${this.mount}?${parameters}`, { signal })).json();
  }

  // Raise the Problem of a GET of this URL, if it has one.
  async check(url) {
    await request("HEAD", url);
  }

  // Whether this client may store or delete a document of this key.
  async rights(key) {
    const answer = await request("OPTIONS", this.address(key));
    const allowed = (answer.headers.get("Allow") ?? "").split(", ");
    return { writable: allowed.includes("PUT"), removable: allowed.includes("DELETE") };
  }

  // The metadata as stored, from the listing: in the response to a GET, Cache-Control is merged with the server's own.
  async fetchMeta(key) {
    const { documents } = await this.list({ prefix: key, limit: 1 });
    return documents[0]?.key === key ? documents[0] : null;
  }

  // At most `size` bytes from the start of a document, and whether they are all of it.
  async readPrefix(meta, size) {
    const headers = meta.size > size && !contentCoding(meta) ? { Range: `bytes=0-${size - 1}` } : {};
    const answer = await request("GET", this.address(meta.key), { headers });
    const reader = answer.body.getReader();
    const buffer = new Uint8Array(size);
    let filled = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { bytes: buffer.subarray(0, filled), complete: answer.status === 200 };
        const rest = size - filled;
        buffer.set(value.subarray(0, rest), filled);
        filled += Math.min(rest, value.length);
        if (value.length > rest) return { bytes: buffer, complete: false };
      }
    } catch (error) {
      throw toProblem(error);
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  // The content of exactly this version as a Blob, which browsers keep on disk if it is large.
  async content(meta) {
    const options = { headers: { "If-Match": etagOf(meta) }, timeout_ms: 3_600_000 };
    const answer = await request("GET", this.address(meta.key), options);
    return answer.blob().catch((error) => Promise.reject(toProblem(error)));
  }

  // Store a Blob as a document and return its ETag. Without a Content-Type the server guesses it. `expect` is the ETag to replace, or null if the key must be unused.
  put(key, content, headers, expect, { signal, progress } = {}) {
    const condition = expect === null ? { "If-None-Match": "*" } : { "If-Match": expect };
    const sent = { ...JSON_FIRST, Prefer: "return=minimal", ...condition };
    for (const [name, value] of Object.entries(headers)) sent[this.requestNames.get(name.toLowerCase()) ?? name] = value;
    return new Promise((resolve, reject) => {
      const xhr = new XMLHttpRequest();
      let timer;
      // An upload may take hours, so the timer restarts with each progress event.
      const wait = () => {
        clearTimeout(timer);
        timer = setTimeout(() => end(reject, timedOut()), 2 * TIMEOUT_MS);
      };
      const stop = () => end(reject, signal.reason);
      const end = (settle, value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
        settle(value);
        xhr.abort();
      };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", stop);
      xhr.upload.onprogress = (event) => {
        wait();
        progress?.(event.loaded, event.total);
      };
      xhr.onerror = () => end(reject, unreachable());
      xhr.onload = () => {
        if (xhr.status < 300) return end(resolve, xhr.getResponseHeader("ETag"));
        const problem = problemFrom(xhr.status, xhr.getResponseHeader("Content-Type"), xhr.responseText);
        if (xhr.status !== 401) return end(reject, problem);
        const repeat = () => this.put(key, content, headers, expect, { signal, progress });
        end(resolve, login.renew().then((renewed) => (renewed ? repeat() : Promise.reject(problem))));
      };
      xhr.open("PUT", this.address(key));
      try {
        for (const [name, value] of Object.entries(sent)) xhr.setRequestHeader(name, value);
      } catch {
        return reject(new Problem(400, "invalid header field", "", "Use visible ASCII characters in fields."));
      }
      wait();
      // A slice has no media type. Otherwise the browser sends its own guess, and the server makes none.
      xhr.send(content.slice());
    });
  }

  // Delete this version of a document. If the response is lost, look whether it exists.
  async remove(meta) {
    try {
      await request("DELETE", this.address(meta.key), { headers: { "If-Match": etagOf(meta) } });
    } catch (error) {
      if (!isUnknown(error) || (await this.fetchMeta(meta.key).catch(() => meta))) throw error;
    }
  }
}

// The fields that store the same metadata again, with the remaining TTL, by stored name.
export function headersOf(meta) {
  const headers = { "Content-Type": meta.media_type, ...meta.fields };
  if (meta.expires) headers.TTL = String(Math.max(0, Math.ceil((Date.parse(meta.expires) - now()) / 1000)));
  return headers;
}
