// Before anything is painted: the theme that was chosen here, if any, and that scripts run.
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // A browser may refuse storage; the theme then follows the system.
  function remembered() {
    try {
      return window.localStorage.getItem("theme");
    } catch {
      return null;
    }
  }

  function remember(theme) {
    try {
      window.localStorage.setItem("theme", theme);
    } catch {
      // It lasts as long as the page.
    }
  }

  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
