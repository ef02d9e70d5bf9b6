// Sends the form with a progress bar; without this file the browser sends the same form by itself.
"use strict";

const form = document.getElementById("submit");
const button = document.getElementById("start");
const problem = document.getElementById("problem");
const bar = document.getElementById("upload");

function fail(sentence) {
  bar.hidden = true;
  button.disabled = false;
  problem.textContent = sentence;
  problem.hidden = false;
  problem.scrollIntoView({ block: "center" });
}

// The same small text that the server puts beside a field when it draws the form again.
function mark(control, sentence) {
  const text = document.createElement("small");
  text.className = "problem";
  text.id = `${control.id}-error`;
  text.textContent = sentence;
  const help = document.getElementById(`${control.id}-help`);
  control.closest(".field").insertBefore(text, help);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", help ? `${text.id} ${help.id}` : text.id);
  const folded = control.closest("details");
  if (folded) folded.open = true;
}

function unmark() {
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    document.getElementById(`${control.id}-error`).remove();
    control.removeAttribute("aria-invalid");
    const help = document.getElementById(`${control.id}-help`);
    if (help) control.setAttribute("aria-describedby", help.id);
    else control.removeAttribute("aria-describedby");
  }
}

function refused(answer) {
  const errors = Object.entries(answer.errors || {});
  const isField = ([name]) => document.getElementById(`field-${name}`) !== null;
  const homeless = errors.filter((entry) => !isField(entry)).map(([name, lines]) => `${name}: ${lines.join(" ")}`);
  fail([answer.detail, ...homeless].join(" "));
  for (const [name, lines] of errors.filter(isField)) mark(document.getElementById(`field-${name}`), lines.join(" "));
  const first = form.querySelector("[aria-invalid]");
  if (first) first.focus();
}

// A request follows the redirect to the sign-in page by itself, and then seems to have succeeded.
const signedOut = (request) => request.status === 403 || new URL(request.responseURL).pathname !== new URL(form.action).pathname;

function answered(request) {
  const kind = request.getResponseHeader("Content-Type") || "";
  if (request.status === 201 && kind.startsWith("application/json")) {
    window.location.assign(JSON.parse(request.responseText).url);
    return;
  }
  if (kind.includes("json")) {
    refused(JSON.parse(request.responseText));
    return;
  }
  fail(signedOut(request) ? "Your sign-in has ended. Reload the page and sign in." : "The site could not take the photo. Try again in a moment.");
}

form.addEventListener("submit", (event) => {
  const file = document.getElementById("image").files[0];
  if (!file) return;
  event.preventDefault();
  const most = Number(form.dataset.maxBytes);
  if (file.size > most) {
    fail(`The file has ${(file.size / 1048576).toFixed(1)} MB; at most ${Math.floor(most / 1048576)} MB are allowed.`);
    return;
  }
  problem.hidden = true;
  unmark();
  button.disabled = true;
  bar.hidden = false;
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (sent) => {
    if (sent.lengthComputable) document.getElementById("upload-progress").value = (100 * sent.loaded) / sent.total;
  });
  request.addEventListener("load", () => answered(request));
  request.addEventListener("error", () => fail("The connection broke. Try again: nothing is done or charged twice."));
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.send(new FormData(form));
});

// Coming back by the browser's own button shows the page as it was left.
window.addEventListener("pageshow", () => {
  button.disabled = false;
  bar.hidden = true;
});
