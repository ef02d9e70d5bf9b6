// A socket of job snapshots that comes back by itself. Each message is a whole job; older versions are dropped.
"use strict";

// `path` is asked for each time: what a page wants to hear of may change while the connection is away.
function followJobs(path, onJob) {
  const newest = new Map();
  // Told by the server: nobody is signed in, or there is no such job. Asking again would not help.
  const final = new Set([4401, 4404]);
  let delay = 500;
  let stopped = false;
  let socket = null;

  function open() {
    socket = new WebSocket(new URL(path(), window.location.href.replace(/^http/, "ws")));
    socket.addEventListener("open", () => {
      delay = 500;
      showConnection(true);
    });
    socket.addEventListener("message", (event) => {
      const job = JSON.parse(event.data);
      if (job.version <= (newest.get(job.job_id) ?? -1)) return;
      newest.set(job.job_id, job.version);
      onJob(job);
    });
    socket.addEventListener("close", (event) => {
      if (stopped || final.has(event.code)) return;
      showConnection(false);
      window.setTimeout(open, delay * (0.5 + Math.random()));
      delay = Math.min(delay * 2, 10000);
    });
  }

  open();
  return () => {
    stopped = true;
    socket.close();
  };
}

const SIZES = [[1048576, "MB"], [1024, "KB"], [1, "bytes"]];

function sizeOf(bytes) {
  const [unit, name] = SIZES.find(([least]) => bytes >= least) || SIZES.at(-1);
  return `${(bytes / unit).toFixed(unit > 1 && bytes / unit < 100 ? 1 : 0)} ${name}`;
}

const STAGES = { downloading: "fetching the photo", inferring: "making the picture", uploading: "storing the result" };
const over = (job) => ["completed", "failed", "cancelled"].includes(job.status);

// Fills one _status.html from a job.
function showStatus(root, job) {
  const find = (name) => root.querySelector(`[data-show="${name}"]`);
  const working = job.status === "processing";
  find("status").textContent = job.status;
  find("status").dataset.status = job.status;
  find("stage").textContent = working ? STAGES[job.stage] || "" : "";
  find("percent").textContent = working ? `${job.progress} %` : "";
  find("progress").value = job.progress;
  find("progress").classList.toggle("over", over(job));
}

// What is worth reading out: each change of status, and the work by quarters.
function announcer() {
  const said = new Map();
  return (job, name) => {
    const line = job.status === "processing" ? `${25 * Math.floor(job.progress / 25)} percent` : job.status;
    if (said.get(job.job_id) === line) return;
    said.set(job.job_id, line);
    document.getElementById("announce").textContent = `${name}: ${line}`;
  };
}

// Signed links end after an hour: a page that stood open longer asks for a fresh one at the click.
function keepFresh(link, jobId) {
  const OLD = 50 * 60 * 1000;
  let since = Date.now();
  link.addEventListener("click", async (event) => {
    if (Date.now() - since < OLD) return;
    event.preventDefault();
    const answer = await fetch(`/api/v1/jobs/${jobId()}`, { headers: { Accept: "application/json" } });
    const job = await answer.json();
    link.href = job.output.url;
    since = Date.now();
    link.click();
  });
}
