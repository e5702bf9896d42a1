"use strict";
// Dark or light: as the system says, until somebody chooses.
const root = document.documentElement;
const chosen = localStorage.getItem("theme");
if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
for (const button of document.querySelectorAll("[data-theme-button]")) {
  button.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    localStorage.setItem("theme", next);
  });
}

// The outlines on images, as strong as the slider says.
for (const slider of document.querySelectorAll("[data-overlay]")) {
  const value = document.querySelector("[data-overlay-value]");
  const show = () => {
    for (const overlay of document.querySelectorAll(".overlay")) overlay.style.opacity = slider.value / 100;
    if (value) value.textContent = `${slider.value} %`;
  };
  slider.addEventListener("input", show);
  show();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  });
}

// What changes by itself is fetched again; nothing else of the page, and not under somebody's hands.
for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "error" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-refresh]");
      if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
    } catch {
      // The node is away: the page says so by its time, and tries again.
    }
  }, 1000 * Number(part.dataset.refresh));
}
