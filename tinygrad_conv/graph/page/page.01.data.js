"use strict";
// The page of a graph: what it says is data; the scripts that follow lay it out, draw it, and let it be asked.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const nodes = data.nodes, shown = new Set(data.show);
let color = data.color, exact = false;
if (data.theme !== "auto") document.documentElement.dataset.theme = data.theme;

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = ["svg", "g", "rect", "path", "text", "image", "title", "circle", "defs", "marker", "line"];
function make(tag, attributes = {}, ...children) {
  const it = DRAWN.includes(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) it.setAttribute(name, value);
  it.append(...children);
  return it;
}
function button(text, action, attributes = {}) { const b = make("button", {type: "button", ...attributes}, text); b.onclick = action; return b; }

function many(n) { return n.toLocaleString("en"); }
function count(n, unit) { return `${many(n)} ${unit}${n === 1 ? "" : "s"}`; }
function brief(n) {  // 1234567 as 1.23 M
  for (const [size, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (n >= size) return `${+(n / size).toPrecision(3)} ${prefix}`;
  return `${+n.toPrecision(3)} `;
}
function duration(seconds) {
  const [unit, size] = seconds >= 1 ? ["s", 1] : seconds >= 1e-3 ? ["ms", 1e-3] : ["µs", 1e-6];
  return `${+(seconds / size).toPrecision(3)} ${unit}`;
}
const AMOUNTS = {  // what a colour can mean, and how it is said
  cost: ["FLOPs", "flops", (n) => brief(n) + "FLOPs"], bytes: ["bytes", "bytes", (n) => brief(n) + "B"],
  time: ["time", "time", duration], gradients: ["gradient norm", "norm", (n) => String(+n.toPrecision(3))],
};
function minus(text) { return text.replaceAll("-", "−"); }
function digits(number, n) {  // so many significant ones
  if (!Number.isFinite(number)) return String(number);
  if (exact) return minus(String(number));
  const a = Math.abs(number);
  return minus(a !== 0 && (a < 1e-4 || a >= 1e6) ? number.toExponential(n - 1) : number.toPrecision(n));
}
function scalar(item, which) { const k = item[which]; return k === undefined ? undefined : data.pictures[k].exact && !data.pictures[k].grid ? data.pictures[k] : undefined; }
function written(p) { return exact ? p.exact : p.text; }
function integers(text, n) {  // written in n letters each, from # to ~, but ! for < and a space for the backslash
  const letters = text.replaceAll("!", "<").replaceAll(" ", "\\"), out = new Float64Array(text.length / n || 0);
  for (let k = 0; k < text.length; k++) out[Math.floor(k / n)] = out[Math.floor(k / n)] * 92 + letters.charCodeAt(k) - 35;
  return out;
}
async function released(text) {  // what was deflated
  const [length, ...words] = integers(text, 5), bytes = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((word, k) => bytes.setUint32(4 * k, word));
  return new Response(new Blob([bytes.buffer.slice(0, length)]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}
