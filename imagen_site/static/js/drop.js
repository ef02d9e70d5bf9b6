// The photo field: drop a file anywhere on the page, and see what was chosen before it is sent.
"use strict";

const zone = document.getElementById("drop");
const input = document.getElementById("image");
const chosen = document.getElementById("chosen");
const facts = document.getElementById("chosen-facts");
let shown = null;

function show() {
  const file = input.files[0];
  if (shown) URL.revokeObjectURL(shown);
  shown = file ? URL.createObjectURL(file) : null;
  chosen.hidden = true;
  facts.textContent = file ? `${file.name}, ${(file.size / 1048576).toFixed(1)} MB` : "";
  if (shown) chosen.src = shown;
}

// A format that the browser cannot show (HEIC, TIFF) is still one that we take: only the picture stays away.
chosen.addEventListener("load", () => {
  chosen.hidden = false;
  facts.textContent += `, ${chosen.naturalWidth} × ${chosen.naturalHeight}`;
});
input.addEventListener("change", show);

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
  if (event.dataTransfer.files.length === 0) return;
  const one = new DataTransfer();
  one.items.add(event.dataTransfer.files[0]);
  input.files = one.files;
  show();
});
if (input.files.length) show();
