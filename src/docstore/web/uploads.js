// The upload queue: three files at a time, with progress, cancel and retry. A file is first stored under the condition that
// the key is unused. If it is used, the user decides; "Replace" replaces only the version that the question showed. What
// became of each file stays in the list until the user closes it.

import { form } from "./actions.js";
import { announce, ask, button, element, field, input } from "./dom.js";
import { formatAge, formatSize } from "./format.js";
import { etagOf, now } from "./http.js";
import { isValidKey, numberKey, suggestKey } from "./keys.js";

const CONCURRENT = 3;
const MAX_FILES = 100_000;
const MAX_LINES = 50;
const CHECK_FIRST_SIZE = 2 ** 20;

// Yield pairs of a path and a function that opens the file, folder by folder; files are opened when they are uploaded.
async function* walk(entries, folder = "") {
  for (const entry of entries) {
    if (entry instanceof File) yield [entry.webkitRelativePath || entry.name, async () => entry];
    else if (entry.isFile) yield [folder + entry.name, () => new Promise((resolve, reject) => entry.file(resolve, reject))];
    else {
      const reader = entry.createReader();
      const next = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      for (let batch = await next(); batch.length; batch = await next()) yield* walk(batch, `${folder}${entry.name}/`);
    }
  }
}

export class Uploads {
  #waiting = [];
  #active = new Set();
  // Failed and cancelled jobs, which can be repeated, and the last of those that are stored or skipped.
  #failed = [];
  #done = [];
  #questions = Promise.resolve();
  #always = null;
  #counts = { stored: 0, skipped: 0 };

  constructor(page) {
    this.page = page;
    this.status = element("b", {});
    this.list = element("ul", {});
    this.rest = element("li", {});
    this.stop = button("Cancel all", () => this.#end());
    this.repeat = button("Try all again", () => this.#again(this.#failed));
    this.box = element("section", { id: "uploads", "aria-label": "Uploads", hidden: true }, element("p", {}, this.status, this.repeat, this.stop), this.list);
    document.querySelector("main").append(this.box);
    addEventListener("beforeunload", (event) => this.#active.size && event.preventDefault());
  }

  // Add `entries`: Files or FileSystemEntries.
  async add(entries) {
    const jobs = [];
    const taken = new Set();
    const folder = this.page.listing.folder;
    for await (const [path, open] of walk(entries)) {
      if (jobs.length === MAX_FILES) {
        announce(`Only the first ${MAX_FILES} files are uploaded.`);
        break;
      }
      let key = suggestKey(this.page.rule, folder + path);
      for (let number = 2; taken.has(key); number += 1) key = numberKey(this.page.rule, suggestKey(this.page.rule, folder + path), number);
      taken.add(key);
      jobs.push({ path, key, open, changed: key !== folder + path });
    }
    if (!jobs.length || !(await this.#confirmKeys(jobs.filter((job) => job.changed)))) return;
    if (!this.#active.size) this.#always = null;
    this.#waiting.push(...jobs);
    this.#next();
  }

  // Let the user correct the suggested keys of files whose names are not valid keys.
  #confirmKeys(jobs) {
    if (!jobs.length) return true;
    const controls = jobs.slice(0, MAX_LINES).map((job) => [job, input({ value: job.key, autofocus: true })]);
    const more = jobs.length > MAX_LINES ? element("p", {}, `And ${jobs.length - MAX_LINES} more in the same way.`) : null;
    const fields = controls.map(([job, control]) => field(job.path, control));
    const reason = element("p", {}, "This mount doesn't allow these names. Suggested keys:");
    return form("Keys for these files", "", [reason, ...fields, more], "Upload", async () => {
      const wrong = controls.find(([, control]) => !isValidKey(this.page.rule, control.value));
      if (wrong) {
        wrong[1].focus();
        throw new Error(`"${wrong[1].value}" is not a valid key here.`);
      }
      for (const [job, control] of controls) job.key = control.value;
      return true;
    });
  }

  #next() {
    while (this.#active.size < CONCURRENT && this.#waiting.length) this.#run(this.#waiting.shift());
    this.#show();
    if (this.#active.size) return;
    this.page.changed();
    announce(this.status.textContent);
  }

  async #run(job) {
    const control = new AbortController();
    const bar = element("progress", { "aria-label": `Upload of ${job.key}` });
    const name = element("bdi", {}, job.key);
    const line = element("li", {}, name, bar, button("Cancel", () => control.abort(), { "aria-label": `Cancel ${job.key}` }));
    Object.assign(job, { control, line, name, progress: (sent, all) => Object.assign(bar, { max: all || 1, value: all ? sent : 1 }) });
    this.#active.add(job);
    this.#show();
    try {
      this.#finish(job, (await this.#store(job, await job.open())) ? "stored" : "skipped");
    } catch (error) {
      if (control.signal.aborted) this.#fail(job, "cancelled");
      else this.#fail(job, error.name === "NotReadableError" || error.name === "NotFoundError" ? "The file can't be read." : error.message);
    }
    this.#active.delete(job);
    this.#next();
  }

  // Return whether the file was stored.
  async #store(job, file) {
    const { collection, rule } = this.page;
    const options = { signal: job.control.signal, progress: job.progress };
    const wanted = job.key;
    let expect = null;
    for (let number = 2; ; ) {
      try {
        // For a large file, look first: the server could reject it only after the upload.
        const existing = file.size > CHECK_FIRST_SIZE && expect === null ? await collection.fetchMeta(job.key) : null;
        if (!existing) return await collection.put(job.key, file, {}, expect, options);
      } catch (error) {
        if (error.status === 0) await file.slice(0, 1).arrayBuffer();
        if (error.status !== 412) throw error;
      }
      const meta = await collection.fetchMeta(job.key);
      const answer = meta ? await this.#decide(job, file, meta) : "again";
      if (answer === "skip") return false;
      expect = answer === "replace" ? etagOf(meta) : null;
      if (answer === "both") {
        job.key = numberKey(rule, wanted, number);
        job.name.textContent = job.key;
        number += 1;
      }
    }
  }

  // Ask what to do about a used key. Questions are asked one after another.
  #decide(job, file, meta) {
    const answer = this.#questions.then(async () => {
      if (job.control.signal.aborted) throw job.control.signal.reason;
      if (this.#always) return this.#always;
      const all = element("input", { type: "checkbox" });
      const age = formatAge(Math.floor((now() - Date.parse(meta.modified)) / 1000));
      const answers = [["both", "Keep both"], ["replace", "Replace", "danger"], ["skip", "Skip"]];
      const chosen = await ask(`${meta.key} already exists`, answers, "skip",
        element("p", {}, `Stored: ${formatSize(meta.size)}, ${meta.media_type}, age ${age}. New file: ${formatSize(file.size)}.`),
        element("p", {}, element("label", {}, all, " Do the same for all following files")));
      if (all.checked) this.#always = chosen;
      return chosen;
    });
    this.#questions = answer.catch(() => {});
    return answer;
  }

  #finish(job, state) {
    this.#counts[state] += 1;
    const name = state === "stored" ? element("a", { href: this.page.collection.address(job.key) }, element("bdi", {}, job.key)) : element("bdi", {}, job.key);
    job.line = element("li", {}, name, element("span", {}, state));
    this.#done = [job, ...this.#done].slice(0, MAX_LINES);
  }

  #fail(job, why) {
    const again = button("Try again", () => this.#again([job]), { "aria-label": `Try ${job.key} again` });
    job.cancelled = why === "cancelled";
    job.line = element("li", { class: job.cancelled ? null : "alert" }, element("bdi", {}, job.key), element("span", {}, why), again);
    this.#failed.push(job);
    if (!job.cancelled) announce(`${job.key}: ${why}`);
  }

  #again(jobs) {
    const repeated = new Set(jobs);
    this.#failed = this.#failed.filter((job) => !repeated.has(job));
    this.#waiting = this.#waiting.concat(jobs);
    this.#next();
  }

  #end() {
    if (!this.#active.size) {
      [this.#failed, this.#done, this.#counts] = [[], [], { stored: 0, skipped: 0 }];
      this.box.hidden = true;
      return document.querySelector("#search").focus();
    }
    for (const job of this.#waiting) this.#fail(job, "cancelled");
    this.#waiting = [];
    for (const job of this.#active) job.control.abort();
  }

  #show() {
    const { stored, skipped } = this.#counts;
    const cancelled = this.#failed.filter((job) => job.cancelled).length;
    const failed = this.#failed.length - cancelled;
    const all = this.#active.size + this.#waiting.length + this.#failed.length + stored + skipped;
    const parts = Object.entries({ skipped, cancelled, failed }).filter(([, count]) => count).map(([name, count]) => `${count} ${name}`);
    this.box.hidden = false;
    this.status.textContent = [`${stored} of ${all} stored`, ...parts].join(", ");
    this.stop.textContent = this.#active.size ? "Cancel all" : "Close";
    this.repeat.hidden = this.#failed.length < 2;
    const ended = [...this.#failed.slice(0, MAX_LINES), ...this.#done];
    const more = this.#failed.length + stored + skipped - ended.length;
    if (more) this.rest.textContent = `And ${more} more.`;
    const lines = [...[...this.#active, ...ended].map((job) => job.line), ...(more ? [this.rest] : [])];
    if (lines.length !== this.list.children.length || lines.some((line, index) => line !== this.list.children[index])) this.list.replaceChildren(...lines);
  }
}
