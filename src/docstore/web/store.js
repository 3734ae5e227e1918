// The store over HTTP, and all of HTTP that the page knows: fields, conditions, statuses, time limits.
// It must not know the page: no element, no words for a button. Nothing here needs more than anybody may ask for.
// fetch can't tell how far an upload is, so writes go through XMLHttpRequest.

const PATIENCE_MS = 30_000;
const JSON_FIRST = { Accept: "application/json, */*;q=0.1" };

// For answers that are not the store's own, such as a proxy's: the store says better what is wrong.
const WORDS = {
  0: ["the store can't be reached", "Look whether it runs and whether this machine is online, then try again."],
  401: ["credentials are wanted", "Sign in to this store, then try again."],
  403: ["this is not allowed", "Ask whoever runs this store for access."],
  404: ["it is not there", "It was deleted, or its time has passed."],
  408: ["it took too long", "Try again."],
  412: ["somebody changed it meanwhile", "Look at it again, then decide."],
  413: ["it is too large for this store", "Send less, or use a mount with a higher limit."],
  428: ["the server wants a condition with every write", "Load the page again, then try once more."],
  502: ["the server behind this address does not answer", "Try again in a moment."],
  503: ["the storage can't be reached now", "Try again in a moment."],
  507: ["no room is left in the store", "Delete documents, or give the mount more room."],
};

export class Problem extends Error {
  constructor(status, title, detail = "", advice = "", etag = null) {
    super([title, detail].filter(Boolean).join(": ") + ". " + advice);
    Object.assign(this, { status, etag });
  }
}

const lost = () => new Problem(0, WORDS[0][0], navigator.onLine ? "" : "this machine is offline", WORDS[0][1]);
const late = () => new Problem(408, "no answer came in time", "", "Try again; what you typed is still here.");

function problemOf(status, type, text, etag) {
  if (/^application\/problem\+json/.test(type ?? "")) {
    try {
      const told = JSON.parse(text);
      return new Problem(status, told.title, told.detail, told.advice, etag);
    } catch {
      // A proxy may cut it short; the status is left.
    }
  }
  const [title, advice] = WORDS[status] ?? [`the server answered ${status}`, "Its log says more."];
  return new Problem(status, title, "", advice, etag);
}

let ahead_ms = 0;

// The store's time: expiry is by its clock and not by this machine's.
export const now = () => Date.now() + ahead_ms;

function readClock(date) {
  const told = Date.parse(date);
  if (Math.abs(told - now()) > 2000) ahead_ms = told - Date.now();
}

async function ask(method, path, { headers = {}, signal, patience_ms = PATIENCE_MS } = {}) {
  const signals = [AbortSignal.timeout(patience_ms), ...(signal ? [signal] : [])];
  let answer;
  try {
    const given = { ...JSON_FIRST, ...headers };
    const options = { method, headers: given, cache: "no-store", redirect: "error", signal: AbortSignal.any(signals) };
    answer = await fetch(path, options);
    readClock(answer.headers.get("Date"));
    if (answer.ok) return answer;
    const text = await answer.text();
    throw problemOf(answer.status, answer.headers.get("Content-Type"), text, answer.headers.get("ETag"));
  } catch (error) {
    throw wordsFor(error);
  }
}

function wordsFor(error) {
  if (error.name === "TimeoutError") return late();
  return error instanceof TypeError ? lost() : error;
}

export const encode = (key) =>
  key.split("/").map((part) => encodeURIComponent(part).replace(/[!'()*]/g, escape)).join("/");
const escape = (character) => "%" + character.charCodeAt(0).toString(16).toUpperCase();

export const etagOf = (meta) => `"${meta.version}"`;

export class Collection {
  constructor(mount) {
    this.mount = mount;
  }

  address = (key) => this.mount + encode(key);

  async list(query, signal) {
    const wanted = new URLSearchParams(query);
    wanted.set("format", "json");
    return (await ask("GET", `${this.mount}?${wanted}`, { signal })).json();
  }

  // Which methods this client may use on documents here.
  async allowed() {
    const answer = await ask("OPTIONS", this.mount + "any");
    return new Set((answer.headers.get("Allow") ?? "").split(", "));
  }

  // All that is known of a document, as it was stored: its own answer has Cache-Control mixed with what the store says.
  async describe(key) {
    const { documents } = await this.list({ prefix: key, limit: 1 });
    return documents[0]?.key === key ? documents[0] : null;
  }

  // The first bytes of a document, with whether these are all.
  async beginning(meta, size) {
    const headers = meta.size > size && !meta.fields?.["content-encoding"] ? { Range: `bytes=0-${size - 1}` } : {};
    const answer = await ask("GET", this.address(meta.key), { headers });
    const reader = answer.body.getReader();
    const read = new Uint8Array(size);
    let filled = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { bytes: read.subarray(0, filled), whole: answer.status === 200 };
        const rest = size - filled;
        read.set(value.subarray(0, rest), filled);
        filled += Math.min(rest, value.length);
        if (value.length > rest) return { bytes: read, whole: false };
      }
    } catch (error) {
      throw wordsFor(error);
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  // The content of exactly this version; a browser keeps large ones on disk.
  async content(meta) {
    const options = { headers: { "If-Match": etagOf(meta) }, patience_ms: 3_600_000 };
    const answer = await ask("GET", this.address(meta.key), options);
    return answer.blob().catch((error) => Promise.reject(wordsFor(error)));
  }

  // `expect` is an ETag, or null for a key that must be free. Resolves to the new ETag.
  put(key, content, headers, expect, { signal, progress } = {}) {
    const condition = expect === null ? { "If-None-Match": "*" } : { "If-Match": expect };
    // Browsers add a Cache-Control of their own to conditional requests, and it would be stored with the document. An
    // empty one keeps theirs away, and says nothing.
    const given = { ...JSON_FIRST, Prefer: "return=minimal", "Cache-Control": "", ...condition, ...headers };
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      let timer;
      // An upload may take hours; standing still for long is what ends it.
      const wait = () => {
        clearTimeout(timer);
        timer = setTimeout(() => end(reject, late()), 2 * PATIENCE_MS);
      };
      const stop = () => end(reject, signal.reason);
      const end = (settle, value) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
        settle(value);
        request.abort();
      };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", stop);
      request.upload.onprogress = (event) => {
        wait();
        progress?.(event.loaded, event.total);
      };
      request.onerror = () => end(reject, lost());
      request.onload = () => {
        const etag = request.getResponseHeader("ETag");
        if (request.status < 300) return end(resolve, etag);
        end(reject, problemOf(request.status, request.getResponseHeader("Content-Type"), request.responseText, etag));
      };
      request.open("PUT", this.address(key));
      try {
        for (const [name, value] of Object.entries(given)) request.setRequestHeader(name, value);
      } catch {
        return reject(new Problem(400, "invalid header field", "", "Use visible ASCII characters in fields."));
      }
      wait();
      request.send(content);
    });
  }

  async remove(meta) {
    await ask("DELETE", this.address(meta.key), { headers: { "If-Match": etagOf(meta) } });
  }
}

// The fields of a write that stores a document's meta again, with the life that is left of it.
export function headersOf(meta) {
  const headers = { "Content-Type": meta.media_type, ...meta.fields };
  if (meta.expires) headers.TTL = String(Math.max(0, Math.ceil((Date.parse(meta.expires) - now()) / 1000)));
  return headers;
}
