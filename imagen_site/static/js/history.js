// The list, live: cards that are shown change in place, and new jobs are announced.
"use strict";

const jobList = document.getElementById("jobs");
const fresh = document.getElementById("fresh");

// The socket tells of every open job; news is only what this page would show if it were loaded again.
function belongsHere(job) {
  const { operation, status, text, until, firstPage, oldest } = fresh.dataset;
  return firstPage === "true"
    && (!operation || job.operation === operation)
    && (!status || job.status === status)
    && (!text || job.input.filename.toLowerCase().includes(text.toLowerCase()))
    && (!until || job.created_at.slice(0, 10) <= until)
    && (!oldest || Date.parse(job.created_at) > Date.parse(oldest));
}

// A job that ended before the socket was there, or while it was away, is told of only if it is asked for.
function socketPath() {
  const shown = [...document.querySelectorAll("[data-job]")];
  const open = shown.filter((each) => !over({ status: each.querySelector("[data-show=status]").dataset.status }));
  return open.length ? `/ws/jobs/?shown=${open.map((each) => each.dataset.job).join(",")}` : "/ws/jobs/";
}

followJobs(socketPath, (job) => {
  const status = jobList && jobList.querySelector(`[data-job="${job.job_id}"]`);
  if (!status) {
    if (belongsHere(job)) fresh.hidden = false;
    return;
  }
  showStatus(status, job);
  const picture = status.closest("li").querySelector(".picture img");
  if (job.preview) picture.src = job.preview;
  else if (job.status === "completed") picture.src = `/jobs/${job.job_id}/thumbnail.jpg?v=${job.version}`;
});
