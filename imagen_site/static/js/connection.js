// Says when the browser is offline or the site's socket is away, and takes it back.
"use strict";

const connection = { socket: true };

function showConnection(socketIsThere = connection.socket) {
  connection.socket = socketIsThere;
  const banner = document.getElementById("connection");
  const sentence = !navigator.onLine
    ? "You are offline. What you see may be old; it goes on when you are back."
    : "The connection was lost. Trying again …";
  if (banner.textContent !== sentence) banner.textContent = sentence;
  banner.hidden = navigator.onLine && connection.socket;
}

window.addEventListener("online", () => showConnection());
window.addEventListener("offline", () => showConnection());
if (!navigator.onLine) showConnection();
