"use strict";
document.documentElement.classList.remove("no-js");

/** Open the folded part in which a link leads, and on a telephone fold all parts of a panel but the first ones. */
const FIRST = 3;
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target?.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
  if (target?.closest("details")) target.scrollIntoView();
};
if (matchMedia("(max-width: 640px)").matches) {
  for (const panel of document.querySelectorAll(".panel")) {
    [...panel.querySelectorAll(":scope > .part")].slice(FIRST).forEach((part) => { part.open = false; });
  }
}
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const part of folded) part.open = true;
});
window.addEventListener("afterprint", () => { for (const part of folded) part.open = false; });

for (const list of document.querySelectorAll("[role=tablist]")) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panel(tab).hidden = tab !== chosen;
    }
  };
  const named = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    return tabs.find((tab) => panel(tab).id === name || (name && panel(tab).querySelector(`[id="${CSS.escape(name)}"]`)));
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) { select(tab); history.replaceState(null, "", "#" + encodeURIComponent(panel(tab).id)); }
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(event.target), last = tabs.length - 1;
    const to = { ArrowRight: at < last ? at + 1 : 0, ArrowLeft: at > 0 ? at - 1 : last, Home: 0, End: last }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    tabs[to].focus();
    tabs[to].click();
  });
  select(named() || tabs[0]);
  window.addEventListener("hashchange", () => { const tab = named(); if (tab) select(tab); });
}

unfold();
window.addEventListener("hashchange", unfold);

const number = (text) => /^[−+-]?\d[\d,]*(?:\.\d+)?(?: [%(\/].*)?$/.test(text) ? parseFloat(text.replace("−", "-").replace(/,/g, "")) : NaN;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const texts = new Map([...body.rows].map((row) => [row, row.cells[column].textContent.trim()]));
      const numeric = [...texts.values()].some((text) => !Number.isNaN(number(text)));
      const old = head.getAttribute("aria-sort");
      const up = old ? old === "descending" : !(numeric && column > 0);
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const sign = up ? 1 : -1;
      const compare = (a, b) => {
        if (!numeric) return sign * texts.get(a).localeCompare(texts.get(b));
        const [x, y] = [number(texts.get(a)), number(texts.get(b))];
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
