// The price as a figure, before anything is sent; the rule is in the page's own data, from billing/prices.py.
"use strict";

const credits = (count) => `${count} credit${count === 1 ? "" : "s"}`;

// `pixels` of the photo.
function priceOf(pixels) {
  const { base, counted, stepPixels } = settings().dataset;
  const grows = [...settings().querySelectorAll("input:checked[data-grows]")].map((each) => Number(each.dataset.grows));
  const factor = counted === "output" ? Math.max(...grows, 1) : 1;
  return Number(base) + Math.ceil((pixels * factor) / Number(stepPixels));
}

// `photos`: the pixels of each, null where this browser cannot tell.
function showPrice(photos) {
  const line = document.getElementById("price");
  const known = photos.filter((pixels) => pixels !== null);
  const unknown = photos.length - known.length;
  const total = known.reduce((sum, pixels) => sum + priceOf(pixels), 0);
  const short = total > Number(document.getElementById("balance").dataset.credits);
  const parts = known.length ? [`${credits(total)} for ${known.length} photo${known.length === 1 ? "" : "s"}`] : [];
  if (unknown) parts.push(`${unknown} whose size this browser cannot read`);
  if (short) parts.push("more than you have");
  line.textContent = parts.join(", ") || "No photo chosen yet";
  line.classList.toggle("none", !parts.length);
  line.classList.toggle("short", short);
}

function spend(amount) {
  const balance = document.getElementById("balance");
  balance.dataset.credits = Number(balance.dataset.credits) - amount;
  balance.textContent = balance.dataset.credits;
}

// A photo that is there already, to be run again.
const source = document.getElementById("source");
if (source) {
  const show = () => showPrice([Number(source.dataset.pixels)]);
  form.addEventListener("change", show);
  show();
}
