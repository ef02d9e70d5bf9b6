// Before and after in one frame, with a divider to move: by its range input (keyboard, screen reader) or by dragging.
"use strict";

const divide = {
  stage: document.getElementById("stage"),
  split: document.getElementById("split"),
  on: false,
};

function showSplit() {
  const share = Number(divide.split.value);
  document.getElementById("before").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  document.getElementById("after").style.clipPath = `inset(0 0 0 ${share}%)`;
  document.getElementById("divider").style.left = `${share}%`;
  divide.split.setAttribute("aria-valuetext", `${share} % before, ${100 - share} % after`);
}

function moveSplit(clientX) {
  const box = divide.stage.getBoundingClientRect();
  divide.split.value = (100 * (clientX - box.left)) / box.width;
  showSplit();
}

const besideDivider = (clientX) => {
  const box = divide.stage.getBoundingClientRect();
  return divide.on && Math.abs(clientX - box.left - (box.width * Number(divide.split.value)) / 100) < 28;
};

// A canvas of a few pixels is enough to see whether anything is transparent.
function seesThrough(picture) {
  const canvas = document.createElement("canvas");
  canvas.width = 48;
  canvas.height = 48;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, 48, 48);
  return pen.getImageData(0, 0, 48, 48).data.some((value, place) => place % 4 === 3 && value < 250);
}

// Called when both pictures are there, or when the photo cannot be shown.
function compare(before, after) {
  document.getElementById("after").classList.toggle("see-through", seesThrough(after));
  document.getElementById("viewer").dataset.state = "done";
  document.getElementById("controls").classList.remove("idle");
  const shown = before !== null && before.naturalWidth > 0;
  const turn = shown ? (before.naturalWidth / before.naturalHeight) / (after.naturalWidth / after.naturalHeight) : 1;
  divide.on = shown && Math.abs(turn - 1) < 0.02;
  divide.split.hidden = !divide.on;
  document.getElementById("divider").hidden = !divide.on;
  // A cropped result is another picture: beside each other.
  divide.stage.classList.toggle("beside", shown && !divide.on);
  divide.stage.classList.toggle("live", divide.on);
  if (divide.on) showSplit();
  if (!shown && before) before.hidden = true;
}

divide.split.addEventListener("input", showSplit);
