// One photo on its way: chosen, sent, made, done. It knows how it looks; send.js and photos.js tell it what happens.
"use strict";

// Outside of https there is no crypto.randomUUID().
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
// Beyond this many pixels a card shows the small preview, not the result itself.
const LARGE = 6e6;

class Card {
  constructor(file) {
    this.file = file;
    this.key = newKey();
    // What was asked for at the first try. A repeat says the same, so that it is known for a repeat.
    this.sent = null;
    this.pixels = null;
    this.job = null;
    this.credits = 0;
    this.element = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.find(".name strong").textContent = file.name;
    this.find(".facts").textContent = sizeOf(file.size);
    for (const name of ["remove", "cancel", "retry"]) this.find(`.${name}`).setAttribute("aria-label", `${this.find(`.${name}`).textContent}: ${file.name}`);
    this.find(".download").setAttribute("aria-label", `Download: ${file.name}`);
    keepFresh(this.find(".download"), () => this.job.job_id);
    this.become("ready");
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  get state() {
    return this.element.dataset.state;
  }

  get sendable() {
    return ["ready", "refused", "broken"].includes(this.state);
  }

  // Draws the photo; `then` is called when its size is known, or is known to stay unknown.
  draw(then) {
    const picture = this.find(".before");
    this.address = URL.createObjectURL(this.file);
    picture.addEventListener("load", () => {
      this.pixels = picture.naturalWidth * picture.naturalHeight;
      this.find(".facts").textContent = `${picture.naturalWidth} × ${picture.naturalHeight}, ${sizeOf(this.file.size)}`;
      picture.hidden = false;
      then();
    });
    picture.addEventListener("error", () => {
      this.find(".none").textContent = "This browser cannot show this file. It can still be sent.";
      this.find(".none").hidden = false;
      then();
    });
    picture.src = this.address;
  }

  become(state, sentence = "", reason = "") {
    this.element.dataset.state = state;
    this.find(".state").textContent = sentence;
    this.find(".reason").textContent = reason;
    this.find(".reason").hidden = !reason;
    this.find("progress").classList.toggle("over", !["waiting", "uploading", "queued", "working"].includes(state));
    this.find(".retry").hidden = !["refused", "broken"].includes(state);
    this.find(".cancel").hidden = !["waiting", "uploading", "queued", "working"].includes(state);
    this.find(".remove").hidden = ["uploading", "queued", "working"].includes(state);
    this.find(".credits").hidden = true;
  }

  uploading(fraction) {
    if (this.state !== "uploading") this.become("uploading");
    this.find("progress").value = 100 * fraction;
    this.find(".state").textContent = fraction < 1 ? `Uploading ${Math.floor(100 * fraction)} %` : "Uploaded, being checked";
  }

  // The site said no. Nothing was made, so another try may ask for something else.
  refused(sentence, code) {
    this.sent = null;
    this.become("refused", "Not taken", sentence);
    this.find(".credits").hidden = code !== "insufficient_credits";
  }

  // Nobody knows whether the site took it: only the same again is safe.
  broken(sentence) {
    this.become("broken", "Not sent", sentence);
  }

  show(job) {
    if (this.job && job.version < this.job.version) return;
    this.job = job;
    this.find(".open").href = `/jobs/${job.job_id}/`;
    this.find(".open").hidden = false;
    this.find(".open span").textContent = job.status === "completed" ? "Compare" : "Open";
    this.find(".open").setAttribute("aria-label", `${this.find(".open span").textContent}: ${this.file.name}`);
    const views = {
      queued: () => this.become("queued", "Waiting for its turn"),
      processing: () => this.become("working", `${STAGES[job.stage] || ""} ${job.progress} %`),
      completed: () => this.finish(job),
      failed: () => this.become("failed", "Failed, not charged", job.error ? job.error.message : ""),
      cancelled: () => this.become("cancelled", "Cancelled, not charged"),
    };
    views[job.status]();
    this.find("progress").value = job.progress;
    if (job.preview) this.showPicture(job.preview);
  }

  finish(job) {
    this.become("done", `Done: ${job.output.width} × ${job.output.height}, ${sizeOf(job.output.bytes)}`);
    this.find(".download").href = job.output.url;
    this.find(".download").hidden = false;
    const small = job.output.width * job.output.height <= LARGE;
    this.find(".picture").classList.toggle("see-through", job.operation === "background_remove" && small);
    this.showPicture(small ? job.output.url : `/jobs/${job.job_id}/thumbnail.jpg?v=${job.version}`);
  }

  showPicture(address) {
    const live = this.find(".live");
    live.src = address;
    live.alt = this.state === "done" ? `Result of ${this.file.name}` : "";
    live.hidden = false;
    this.find(".none").hidden = true;
    // Through a transparent result one would see the photo.
    if (this.state === "done") live.decode().then(() => { this.find(".before").hidden = true; }, () => {});
  }

  drop() {
    URL.revokeObjectURL(this.address);
    this.element.remove();
  }
}
