// The list, live: cards that are shown change in place, and new jobs are announced.
"use strict";

const list = document.getElementById("jobs");
const fresh = document.getElementById("fresh");

// The socket tells of every open job; news is only what this page would show if it were loaded again.
function belongsHere(job) {
  const { operation, status, firstPage, oldest } = fresh.dataset;
  return firstPage === "true"
    && (!operation || job.operation === operation)
    && (!status || job.status === status)
    && (!oldest || Date.parse(job.created_at) > Date.parse(oldest));
}

// A job that ended before the socket was there, or while it was away, is told of only if it is asked for.
function socketPath() {
  const cards = [...document.querySelectorAll("[data-job]")];
  const open = cards.filter((card) => !over({ status: card.querySelector("[data-show=status]").dataset.status }));
  return open.length ? `/ws/jobs/?shown=${open.map((card) => card.dataset.job).join(",")}` : "/ws/jobs/";
}

followJobs(socketPath, {
  onConnection: (there) => {
    document.getElementById("connection").hidden = there;
  },
  onJob: (job) => {
    const card = list && list.querySelector(`[data-job="${job.job_id}"]`);
    if (card) showStatus(card, job);
    else if (belongsHere(job)) fresh.hidden = false;
  },
});
