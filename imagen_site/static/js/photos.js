// Choosing photos: several by the picker, dropped, pasted or from the camera. Each becomes a card.
"use strict";

const zone = document.getElementById("drop");
const list = document.getElementById("cards");
let cards = [];

const picker = document.getElementById("image");
// The plain form sends one photo and needs it; with scripts the cards are what is sent.
picker.multiple = true;
picker.required = false;

function cardsChanged() {
  list.hidden = cards.length === 0;
  list.classList.toggle("one", cards.length === 1);
  zone.classList.toggle("small", cards.length > 0);
  const unsent = cards.filter((card) => card.sendable);
  showPrice(unsent.map((card) => card.pixels));
  const start = document.getElementById("start");
  start.textContent = unsent.length > 1 ? `${start.dataset.title}: ${unsent.length} photos` : start.dataset.title;
  document.getElementById("bulk").hidden = cards.length < 2;
  document.getElementById("download-all").hidden = cards.filter((card) => card.state === "done").length < 2;
}

function add(files) {
  const most = Number(form.dataset.maxBytes);
  complain("");
  for (const file of files) {
    const card = new Card(file);
    cards.push(card);
    list.append(card.element);
    card.element.card = card;
    if (file.size > most) card.refused(`The file has ${sizeOf(file.size)}; at most ${Math.floor(most / 1048576)} MB are allowed.`);
    card.draw(cardsChanged);
  }
  cardsChanged();
}

function remove(card) {
  const next = card.element.nextElementSibling || card.element.previousElementSibling;
  cards = cards.filter((each) => each !== card);
  card.drop();
  cardsChanged();
  (next ? next.querySelector(".remove:not([hidden]), .cancel:not([hidden])") || picker : picker).focus();
}

for (const input of [picker, document.getElementById("camera")]) {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
}

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) zone.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) add(event.clipboardData.files);
});
form.addEventListener("change", cardsChanged);

document.getElementById("clear").addEventListener("click", () => {
  for (const card of cards.filter((each) => !["uploading", "queued", "working"].includes(each.state))) remove(card);
});
document.getElementById("download-all").addEventListener("click", () => {
  // One after another: a browser drops all but the last of several clicks in one moment.
  cards.filter((card) => card.state === "done").forEach((card, place) => {
    window.setTimeout(() => card.find(".download").click(), 400 * place);
  });
});

// Coming back by the browser's own button, or a choice made before this script ran.
if (picker.files.length) {
  add(picker.files);
  picker.value = "";
}
