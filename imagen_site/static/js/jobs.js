// The list, live: cards that are shown change in place, and new jobs are announced.
"use strict";

const list = document.getElementById("jobs");

followJobs("/ws/jobs/", {
  onConnection: (there) => {
    document.getElementById("connection").hidden = there;
  },
  onJob: (job) => {
    const card = list && list.querySelector(`[data-job="${job.job_id}"]`);
    if (card) showStatus(card, job);
    else document.getElementById("fresh").hidden = false;
  },
});
