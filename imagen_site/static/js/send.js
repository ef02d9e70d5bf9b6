// Sending the cards, two at a time, and following their jobs. One that fails leaves the others alone.
"use strict";

const AT_ONCE = 2;
const MAX_TRIES = 40;
const line = [];
const announce = announcer();
let sending = 0;
let following = false;

function enqueue(card) {
  card.sent = card.sent || { api: settings().dataset.api, fields: settingsFields() };
  card.find("progress").value = 0;
  card.become("waiting", "Waiting to be sent");
  line.push(card);
}

function pump() {
  while (sending < AT_ONCE && line.length) {
    sending += 1;
    send(line.shift());
  }
  cardsChanged();
}

function send(card) {
  const body = new FormData();
  for (const [name, value] of card.sent.fields) body.append(name, value);
  body.append("image", card.file, card.file.name);
  const request = new XMLHttpRequest();
  card.request = request;
  card.uploading(0);
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) card.uploading(event.loaded / event.total);
  });
  request.addEventListener("load", () => answered(card, request));
  request.addEventListener("error", () => card.broken("The connection broke. Try again: nothing is done or charged twice."));
  request.addEventListener("abort", () => card.broken("You stopped it."));
  request.addEventListener("loadend", () => {
    sending -= 1;
    pump();
  });
  request.open("POST", card.sent.api);
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("X-CSRFToken", form.querySelector("[name=csrfmiddlewaretoken]").value);
  request.setRequestHeader("Idempotency-Key", card.key);
  request.send(body);
}

function answered(card, request) {
  const isJson = (request.getResponseHeader("Content-Type") || "").includes("json");
  if (request.status === 202 && isJson) {
    accepted(card, JSON.parse(request.responseText));
  } else if (request.status === 401 || (request.status === 403 && !request.responseText.includes("account_closed"))) {
    card.refused("Your sign-in has ended. Reload the page and sign in.", "");
  } else if (!isJson || request.status === 500) {
    card.broken("The site could not take the photo. Try again in a moment.");
  } else {
    refused(card, request, JSON.parse(request.responseText));
  }
}

function accepted(card, job) {
  card.credits = job.credits;
  card.tries = 0;
  spend(job.credits);
  news(card, job);
  if (following) return;
  following = true;
  followJobs(socketPath, (each) => {
    const its = cards.find((one) => one.job && one.job.job_id === each.job_id);
    if (its) news(its, each);
  });
}

function refused(card, request, problem) {
  const wait = Number(request.getResponseHeader("Retry-After"));
  card.tries = (card.tries || 0) + 1;
  if (wait && card.tries < MAX_TRIES) {
    card.become("waiting", "Waiting for room", problem.detail);
    card.timer = window.setTimeout(() => {
      line.push(card);
      pump();
    }, 1000 * wait);
    return;
  }
  card.refused(problem.detail, problem.code);
  // What is wrong with the settings or the credits is wrong for those behind it, too.
  if (problem.status === 402 || problem.errors) for (const other of line.splice(0)) other.refused(problem.detail, problem.code);
  if (problem.errors) complain([problem.detail, ...markAll(problem.errors)].join(" "));
}

// A job that ended before the socket was there, or while it was away, is told of only if it is asked for.
function socketPath() {
  const open = cards.filter((card) => card.job && !over(card.job));
  return `/ws/jobs/?shown=${open.map((card) => card.job.job_id).join(",")}`;
}

function news(card, job) {
  const before = card.job;
  card.show(job);
  card.heardAt = Date.now();
  announce(job, card.file.name);
  if (over(job) && job.status !== "completed" && before && !over(before)) spend(-card.credits);
  if (!before || before.status !== job.status) cardsChanged();
}

// A very short job can be over before the socket has looked for it.
window.setInterval(() => {
  for (const card of cards.filter((each) => each.job && !over(each.job) && Date.now() - each.heardAt > 10000)) {
    card.heardAt = Date.now();
    fetch(`/api/v1/jobs/${card.job.job_id}`).then(async (answer) => {
      if (answer.ok) news(card, await answer.json());
    }, () => {});
  }
}, 2000);

function cancel(card) {
  const place = line.indexOf(card);
  if (place >= 0) line.splice(place, 1);
  window.clearTimeout(card.timer);
  if (card.state === "uploading") {
    card.request.abort();
  } else if (card.state === "waiting") {
    card.become("ready");
  } else {
    const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
    // Whatever the answer: the socket tells what became of it.
    fetch(`/api/v1/jobs/${card.job.job_id}/cancel`, { method: "POST", headers: { "X-CSRFToken": token } }).catch(() => {});
  }
  cardsChanged();
}

list.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { card } = button.closest(".card");
  if (button.matches(".remove")) remove(card);
  if (button.matches(".cancel")) cancel(card);
  if (button.matches(".retry")) {
    enqueue(card);
    pump();
  }
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const ready = cards.filter((card) => card.sendable && card.file.size <= Number(form.dataset.maxBytes));
  // Clicked twice, there is nothing left to send and nothing wrong.
  complain(cards.length ? "" : "Choose a photo first.");
  if (!ready.length) {
    if (!cards.length) picker.focus();
    return;
  }
  unmark();
  ready.forEach(enqueue);
  pump();
});

window.addEventListener("online", () => {
  cards.filter((card) => card.state === "broken").forEach(enqueue);
  pump();
});

// Leaving stops what has not arrived.
window.addEventListener("beforeunload", (event) => {
  if (sending || line.length) event.preventDefault();
});
