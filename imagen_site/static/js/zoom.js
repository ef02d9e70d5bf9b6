// Looking closer: buttons, keys, pinch, wheel with Ctrl, double click; dragging moves the picture. Both keep together.
"use strict";

const look = { zoom: 1, x: 0, y: 0, width: 0, height: 0, pointers: new Map(), drags: "", most: 8, least: 1 };
const pictures = () => [...divide.stage.querySelectorAll(".side img")];

function showLook() {
  const side = document.getElementById("after").getBoundingClientRect();
  // A window of another size goes on showing the same place.
  look.x *= side.width / (look.width || side.width);
  look.y *= side.height / (look.height || side.height);
  Object.assign(look, { width: side.width, height: side.height });
  look.x = Math.min(0, Math.max(look.x, side.width * (1 - look.zoom)));
  look.y = Math.min(0, Math.max(look.y, side.height * (1 - look.zoom)));
  if (look.zoom < 1) {
    look.x = (side.width * (1 - look.zoom)) / 2;
    look.y = (side.height * (1 - look.zoom)) / 2;
  }
  for (const picture of pictures()) picture.style.transform = `translate(${look.x}px, ${look.y}px) scale(${look.zoom})`;
  divide.stage.classList.toggle("zoomed", look.zoom > 1);
  document.getElementById("zoom-level").textContent = `${Math.round(100 * look.zoom)} %`;
}

// x and y: the point of the frame that stays where it is; its middle if not told.
function zoomTo(zoom, x = divide.stage.clientWidth / 2, y = divide.stage.clientHeight / 2) {
  const next = Math.min(look.most, Math.max(look.least, zoom));
  look.x = x - ((x - look.x) * next) / look.zoom;
  look.y = y - ((y - look.y) * next) / look.zoom;
  look.zoom = next;
  showLook();
}

// The zoom at which a pixel of the result is a pixel of the screen.
function oneToOne() {
  const result = document.getElementById("result");
  const fitted = Math.min(result.clientWidth / result.naturalWidth, result.clientHeight / result.naturalHeight);
  return 1 / fitted / window.devicePixelRatio;
}

const inStage = (event) => {
  const box = divide.stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

function spread() {
  const [one, other] = [...look.pointers.values()];
  return { distance: Math.hypot(one[0] - other[0], one[1] - other[1]), middle: [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2] };
}

function press(event) {
  if (event.pointerType === "mouse" && event.button) return;
  divide.stage.setPointerCapture(event.pointerId);
  look.pointers.set(event.pointerId, inStage(event));
  if (look.pointers.size === 2) look.pinch = { ...spread(), zoom: look.zoom };
  look.drags = divide.on && (look.zoom <= 1 || besideDivider(event.clientX)) ? "divider" : "picture";
  if (look.drags === "divider") moveSplit(event.clientX);
}

function drag(event) {
  const before = look.pointers.get(event.pointerId);
  if (!before) return;
  const now = inStage(event);
  look.pointers.set(event.pointerId, now);
  if (look.pointers.size === 2) {
    const { distance, middle } = spread();
    zoomTo((look.pinch.zoom * distance) / look.pinch.distance, ...middle);
  } else if (look.drags === "divider") {
    moveSplit(event.clientX);
  } else {
    look.x += now[0] - before[0];
    look.y += now[1] - before[1];
    showLook();
  }
}

const release = (event) => look.pointers.delete(event.pointerId);

function key(event) {
  const step = 60;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  const zooms = { "+": look.zoom * 1.5, "=": look.zoom * 1.5, "-": look.zoom / 1.5, 0: 1 };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in zooms) zoomTo(zooms[event.key]);
  else if (event.key in moves && look.zoom > 1) {
    look.x += moves[event.key][0];
    look.y += moves[event.key][1];
    showLook();
  } else return;
  event.preventDefault();
}

function startZoom() {
  const { stage } = divide;
  if (stage.tabIndex === 0) return;
  look.least = Math.min(1, oneToOne());
  look.most = Math.max(8, 2 * oneToOne());
  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", "Picture. Plus and minus zoom, 0 fits, arrows move it.");
  stage.addEventListener("pointerdown", press);
  stage.addEventListener("pointermove", drag);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, release);
  stage.addEventListener("keydown", key);
  stage.addEventListener("dblclick", (event) => zoomTo(look.zoom > 1 ? 1 : Math.max(2, oneToOne()), ...inStage(event)));
  stage.addEventListener("wheel", (event) => {
    // The wheel alone goes on scrolling the page.
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomTo(look.zoom * Math.exp(-event.deltaY / 200), ...inStage(event));
  }, { passive: false });
  document.getElementById("zoom-in").addEventListener("click", () => zoomTo(look.zoom * 1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoomTo(look.zoom / 1.5));
  document.getElementById("zoom-fit").addEventListener("click", () => zoomTo(1));
  document.getElementById("zoom-one").addEventListener("click", () => zoomTo(oneToOne()));
  window.addEventListener("resize", showLook);
  showLook();
}
