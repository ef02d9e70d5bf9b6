// The settings: figures beside sliders, colours to pick, another operation without losing the photos, wrong fields.
"use strict";

const form = document.getElementById("submit");
const settings = () => document.getElementById("settings");

form.addEventListener("input", (event) => {
  const control = event.target;
  const figure = form.querySelector(`output[for="${control.id}"]`);
  if (figure) figure.textContent = control.value;
  if (control.dataset.for) document.getElementById(control.dataset.for).value = control.value;
});

// What the form says, as the API reads it: a box that is not ticked is off.
function settingsFields() {
  const controls = [...settings().querySelectorAll("[name]")].filter((each) => each.type !== "radio" || each.checked);
  return controls.map((each) => [each.name, each.type === "checkbox" ? String(each.checked) : each.value]);
}

// Not the strength: that of one operation is not that of another.
const SHARED = ["format", "quality", "metadata", "seed", "prompt", "negative_prompt"];

function carryOver(values) {
  for (const [name, value] of values.filter(([each]) => SHARED.includes(each))) {
    for (const control of settings().querySelectorAll(`[name="${name}"]`)) {
      if (control.type === "radio") control.checked = control.value === value;
      else control.value = value;
    }
  }
}

async function changeOperation(link) {
  settings().setAttribute("aria-busy", "true");
  const answer = await fetch(link.href);
  if (!answer.ok || answer.redirected) throw new Error("no form");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const values = settingsFields();
  const folded = settings().querySelector("details").open;
  for (const id of ["operations", "heading", "settings"]) document.getElementById(id).replaceWith(page.getElementById(id));
  settings().querySelector("details").open = folded;
  form.action = page.getElementById("submit").action;
  const operation = form.querySelector("[name=operation]");
  if (operation) operation.value = page.querySelector("#submit [name=operation]").value;
  carryOver(values);
  document.title = page.title;
  window.history.replaceState(null, "", link.href);
  document.querySelector("#operations [aria-current]").focus();
  form.dispatchEvent(new Event("change"));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#operations a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  // Without a connection the browser itself should say so.
  changeOperation(link).catch(() => window.location.assign(link.href));
});

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

// Returns the sentences that have no field here.
function markAll(errors) {
  const field = (name) => document.getElementById(`field-${name}`);
  const entries = Object.entries(errors || {});
  unmark();
  for (const [name, lines] of entries.filter(([each]) => field(each))) mark(field(name), lines.join(" "));
  const first = form.querySelector("[aria-invalid]");
  if (first) (first.matches("fieldset") ? first.querySelector("input") : first).focus();
  return entries.filter(([each]) => !field(each)).map(([name, lines]) => `${name}: ${lines.join(" ")}`);
}

function complain(sentence) {
  const problem = document.getElementById("problem");
  problem.textContent = sentence;
  problem.hidden = !sentence;
  if (sentence) problem.scrollIntoView({ block: "nearest" });
}
