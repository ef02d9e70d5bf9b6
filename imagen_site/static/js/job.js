// One job, live.
"use strict";

const root = document.getElementById("job");
const byId = (id) => document.getElementById(id);

function showResult(job) {
  const picture = byId("result");
  if (job.output && job.output.url) {
    // Every message has a freshly signed link: take one of them, or the browser would load the picture again.
    if (!byId("download").hasAttribute("href")) {
      picture.src = job.output.url;
      byId("download").href = job.output.url;
    }
    byId("download").hidden = false;
    byId("result-facts").textContent = `After: ${job.output.width} × ${job.output.height}, ${(job.output.bytes / 1048576).toFixed(1)} MB`;
  } else if (job.preview) {
    picture.src = job.preview;
  }
  picture.hidden = !(job.preview || job.output);
  byId("waiting").hidden = !picture.hidden;
  if (over(job) && !job.output) byId("waiting").textContent = "There is no result.";
}

function showEngine(job) {
  if (!job.engine) return;
  byId("engine").textContent = `${job.engine.name} ${job.engine.version}`;
  byId("weights").textContent = job.engine.weights_sha256;
  const warnings = job.engine.warnings || [];
  byId("warnings").replaceChildren(...warnings.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  byId("warnings").hidden = warnings.length === 0;
}

if (root.dataset.over !== "true") {
  const stop = followJobs(() => root.dataset.socket, {
    onConnection: (there) => {
      byId("connection").hidden = there;
    },
    onJob: (job) => {
      showStatus(root, job);
      showResult(job);
      showEngine(job);
      byId("problem").hidden = !job.error;
      byId("problem").textContent = job.error ? job.error.message : "";
      byId("cancel").hidden = over(job);
      if (over(job)) stop();
    },
  });
}
