// ------------------------------------------------------------------------------------------------------- Draw a digit
// An image drawn with the mouse goes through the net: every card shows what becomes of it.

const canvas = nodes.find((node) => node.kind === "input" && computable.has(node.k) && /^\(1, \d+, \d+, 1\)$/.test(node.shape || ""));
const answer = canvas && nodes.filter((node) => node.kind === "operation" && computable.has(node.k) && /^\(1, \d+\)$/.test(node.shape) && last(node) > 1 && last(node) <= 100 && descends(node)).pop();
function descends(node) {
  const seen = new Set([canvas.k]);
  for (let k = canvas.k; k <= node.k; k++) if (nodes[k].inputs.some((input) => seen.has(input))) seen.add(k);
  return seen.has(node.k);
}
const PEN = {size: 280, width: 22};
let live = null;  // node -> its numbers, of the image that is drawn

function madeOf(pixels) {  // what the net makes of an image, as probabilities (or as they are, if it ends in them)
  live = forward(new Map([[canvas.k, Float32Array.from(pixels)]]));
  const out = live.get(answer.k);
  return answer.op === "softmax" ? out : soft(Float64Array.from(out), last(answer));
}
function pixelsOf(board) {  // the mean ink of each pixel, with the middle of its mass in the middle, as in MNIST
  const [, h, w] = dims(canvas), n = PEN.size, ink = board.getContext("2d").getImageData(0, 0, n, n).data, out = new Float32Array(h * w);
  let mass = 0, mx = 0, my = 0;
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) { const a = ink[4 * (y * n + x) + 3]; mass += a; mx += a * x; my += a * y; }
  if (!mass) return out;
  const dx = Math.round(mx / mass - n / 2), dy = Math.round(my / mass - n / 2), per = 255 * (n / w) * (n / h);
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
    const px = Math.floor((x - dx) * w / n), py = Math.floor((y - dy) * h / n), a = ink[4 * (y * n + x) + 3];
    if (a && px >= 0 && px < w && py >= 0 && py < h) out[py * w + px] += a / per;
  }
  return out;
}
function tiles(values, shape) {  // maps side by side, or a vector in a row: [width, height, the number at a place or undefined]
  if (shape.length === 4) {
    const [, h, w, C] = shape, across = Math.ceil(Math.sqrt(C)), down = Math.ceil(C / across), W = across * (w + 1) - 1;
    return [W, down * (h + 1) - 1, (k) => {
      const x = k % W, y = Math.floor(k / W), c = Math.floor(y / (h + 1)) * across + Math.floor(x / (w + 1)), i = y % (h + 1), j = x % (w + 1);
      return c < C && i < h && j < w ? values[(i * w + j) * C + c] : undefined;
    }];
  }
  const n = values.length, wide = n <= 32 ? n : Math.ceil(Math.sqrt(2 * n));
  return [wide, Math.ceil(n / wide), (k) => values[k]];
}
function liveImage(node) {
  const values = live.get(node.k), [w, h, at] = tiles(values, dims(node)), most = values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) || 1, signed = values.some((v) => v < 0);
  return [w, h, painted(w, h, (k) => { const v = at(k); return colour({signed}, v === undefined ? v : signed ? (v / most + 1) / 2 : v / most); })];
}
function showLive() {
  for (const node of nodes) {
    const image = live.has(node.k) && node.kind !== "parameter" && byId.has(node.id) && byId.get(node.id).querySelector(".thumbs:not(.late) image");
    if (!image) continue;
    const [w, h, href] = liveImage(node), fit = Math.min(THUMB / w, THUMB / h), slot = image.parentNode.previousSibling;
    const [x, y] = [+slot.getAttribute("x"), +slot.getAttribute("y")];
    for (const [name, value] of Object.entries({href, width: w * fit, height: h * fit, x: x + (THUMB - w * fit) / 2, y: y + (THUMB - h * fit) / 2})) image.setAttribute(name, value);
  }
}
async function seeDigit() {  // the panel in which one draws
  if (!shown.has("values")) { shown.add("values"); $("show-values").checked = true; await draw(); }
  const board = make("canvas", {id: "board", width: PEN.size, height: PEN.size, role: "img", "aria-label": "Draw a digit here with the mouse or a finger"});
  const bars = make("ol", {id: "guess", "aria-live": "polite"}), context = board.getContext("2d", {willReadFrequently: true});
  const clear = () => { context.clearRect(0, 0, PEN.size, PEN.size); see(); };
  const see = () => {
    const shares = madeOf(pixelsOf(board)), best = shares.indexOf(Math.max(...shares));
    bars.replaceChildren(...Array.from(shares, (p, k) => make("li", k === best ? {class: "best"} : {}, make("span", {}, String(k)), make("meter", {value: p, min: 0, max: 1, "aria-label": `${k}: ${Math.round(100 * p)} %`}), make("span", {}, `${(100 * p).toFixed(p < 0.1 ? 1 : 0)} %`))));
    showLive();
  };
  Object.assign(context, {lineCap: "round", lineJoin: "round", lineWidth: PEN.width, strokeStyle: getComputedStyle(document.body).color});
  let before = null, waiting = false;
  const here = (event) => [event.offsetX * PEN.size / board.clientWidth, event.offsetY * PEN.size / board.clientHeight];
  board.onpointerdown = (event) => { board.setPointerCapture(event.pointerId); before = here(event); board.onpointermove(event); event.preventDefault(); };
  board.onpointermove = (event) => {
    if (!before) return;
    const now = here(event);
    context.beginPath(); context.moveTo(...before); context.lineTo(...now); context.stroke();
    before = now;
    if (!waiting) { waiting = true; requestAnimationFrame(() => { see(); waiting = false; }); }
  };
  board.onpointerup = board.onpointercancel = () => { before = null; see(); };
  selected = canvas;
  refresh();
  $("details").replaceChildren(make("h2", {}, "Draw a digit"), make("p", {class: "about"}, `and see what ${answer.name} makes of it; the cards show it on its way.`), board, make("p", {}, button("Clear", clear)), bars);
  see();
}
if (answer) { $("digit").hidden = false; $("digit").onclick = () => { pause(); if (stepping) go(-1).then(seeDigit); else seeDigit(); }; }
