// One job, live: its status, the picture while it is made, then the comparison.
"use strict";

const root = document.getElementById("job");
const byId = (id) => document.getElementById(id);
const photo = document.querySelector("#before img");
const result = byId("result");

// Resolves when the picture can be drawn; null for one that this browser cannot show.
const drawn = (picture) => picture.decode().then(() => picture, () => (picture.naturalWidth ? picture : null));

async function showComparison() {
  const before = photo ? await drawn(photo) : null;
  const after = await drawn(result);
  if (!after) return;
  if (photo && !before) {
    photo.hidden = true;
    byId("waiting").textContent = "This browser cannot show the photo itself, only the result.";
    byId("waiting").hidden = false;
  }
  compare(before, after);
  startZoom();
}

async function showOutput(job) {
  // Every message has a freshly signed link: take one of them, or the browser would load the picture again.
  if (byId("download").hasAttribute("href")) return;
  byId("download").href = job.output.url;
  byId("download").hidden = false;
  byId("result-facts").textContent = `After: ${job.output.width} × ${job.output.height}, ${sizeOf(job.output.bytes)}`;
  const picture = new Image();
  picture.src = job.output.url;
  await drawn(picture);
  result.src = job.output.url;
  result.hidden = false;
  byId("waiting").hidden = true;
  await showComparison();
}

function showPicture(job) {
  if (job.output && job.output.url) {
    showOutput(job);
    return;
  }
  if (job.preview) {
    result.src = job.preview;
    result.hidden = false;
    byId("waiting").hidden = true;
  }
  if (!over(job)) return;
  result.hidden = true;
  byId("viewer").dataset.state = "none";
  byId("waiting").textContent = "There is no result.";
  byId("waiting").hidden = false;
}

function showWarnings(job) {
  const warnings = job.provenance ? job.provenance.warnings : [];
  byId("warnings").replaceChildren(...warnings.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  byId("warnings").hidden = warnings.length === 0;
}

// How it was made is put into words in one place, the page's template: take it from a page of the finished job.
async function showMaking() {
  const answer = await fetch(window.location.pathname, { cache: "no-store" });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  byId("made").replaceWith(page.getElementById("made"));
}

keepFresh(byId("download"), () => root.dataset.id);
if (byId("viewer").dataset.state === "done") showComparison();
if (root.dataset.over !== "true") {
  const announce = announcer();
  const stop = followJobs(() => root.dataset.socket, (job) => {
    showStatus(root, job);
    showPicture(job);
    showWarnings(job);
    announce(job, "The job");
    byId("problem").hidden = !job.error;
    byId("problem").textContent = job.error ? job.error.message : "";
    byId("cancel").hidden = over(job);
    for (const id of ["again", "change"]) byId(id).hidden = !over(job);
    if (!over(job)) return;
    stop();
    // Without a connection the list stays as it was; a reload has the rest.
    showMaking().catch(() => {});
  });
}
