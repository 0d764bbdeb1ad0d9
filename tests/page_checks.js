"use strict";
// What tests ask of a page in the browser. Each function returns a list of complaints.

function accessible() {
  const bad = [];
  const name = (e) => (e.getAttribute("aria-label") || e.textContent || e.placeholder || "").trim();
  for (const e of document.querySelectorAll("button, [role=button], input, select, [role=img]"))
    if (!name(e) && !e.alt) bad.push("no name: " + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll("img")) if (!e.alt) bad.push("no alt");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) bad.push("an id twice");
  const root = document.documentElement;
  if (!root.lang || !document.title || !document.querySelector("main")) bad.push("no language, title or main");
  if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
  if (document.getElementById("graph") && document.querySelectorAll('#graph [tabindex="0"]').length !== 1)
    bad.push("the graph is not one stop of the tab key");
  const seen = "h1, h2, h3, p, button, th, td, li, code, small, figcaption, input, span, dd, label, footer";
  for (const e of document.querySelectorAll(seen))
    if (e.offsetParent && e.textContent.trim() && !e.disabled) faint(e, getComputedStyle(e).color, behind(e), bad);
  for (const g of document.querySelectorAll(".node"))
    faint(g, getComputedStyle(g.querySelector("text")).fill, getComputedStyle(g.querySelector(".card")).fill, bad);
  return bad;
}
function faint(e, front, back, bad) {
  const [a, b] = [light(front), light(back)].sort((p, q) => q - p), ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) bad.push(`contrast ${ratio.toFixed(1)}: ${e.outerHTML.slice(0, 80)}`);
}
const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
function light(colour) {  // relative luminance, as WCAG 2 has it
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const linear = (v) => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = [...probe.getImageData(0, 0, 1, 1).data].map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(e) {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "white";
}

function overlapping() {
  const all = [...document.querySelectorAll(".node")].map((g) => [g.dataset.node, g.querySelector(".card").getBBox()]);
  const apart = (a, b) => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
  return all.flatMap(([name, a], k) => all.slice(0, k).filter(([, b]) => !apart(a, b)).map(([other]) => `${name} on ${other}`));
}
function cut() {
  const inside = (t, c) => t.x >= c.x - 1 && t.x + t.width <= c.x + c.width + 1 && t.y + t.height <= c.y + c.height + 1;
  return [...document.querySelectorAll(".node")].filter((g) => {
    const card = g.querySelector(".card").getBBox();
    return ![...g.querySelectorAll("text")].every((t) => inside(t.getBBox(), card));
  }).map((g) => g.dataset.node);
}

function tiny() {  // texts that are too small to be read
  const bad = [], size = (e) => parseFloat(getComputedStyle(e).fontSize);
  for (const e of document.querySelectorAll("h1, h2, h3, p, button, th, td, li, code, small, figcaption, span, dd, label, summary, select"))
    if (e.offsetParent && e.textContent.trim() && size(e) < 9) bad.push(`${size(e)} px: ${e.textContent.trim().slice(0, 40)}`);
  for (const t of document.querySelectorAll("#graph text"))
    if (getComputedStyle(t).display !== "none" && !t.closest('[style*="display: none"]') && t.getClientRects().length && t.getBoundingClientRect().height) {
      const drawn = size(t) * t.getScreenCTM().a;
      if (drawn < 8.99) bad.push(`${drawn.toFixed(1)} px: ${t.textContent}`);
    }
  return bad;
}
function sideways() {  // what sticks out of the window at its right
  const wide = document.documentElement, bad = wide.scrollWidth > wide.clientWidth ? [`the page is ${wide.scrollWidth} px wide`] : [];
  for (const e of document.querySelectorAll("header *, aside, dialog, details, canvas, main > *"))
    if (e.offsetParent && !e.closest(".wide, #shows, svg") && e.getBoundingClientRect().right > innerWidth + 1) bad.push(e.outerHTML.slice(0, 80));
  return bad;
}
"checks";
