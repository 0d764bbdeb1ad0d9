"use strict";
// The microscope's page: for one output at a time, what it reads, what that is multiplied by, and the sum.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const exact = (list) => list && (data.dtype === "float32" ? Float32Array : Float64Array).from(list, Number);
const x = exact(data.x), w = exact(data.w), y = exact(data.y), added = exact(data.added), gradient = exact(data.g);
const [H, W] = data.in, [kh, kw] = data.kernel, [oh, ow] = data.out, [sy, sx] = data.stride, [dy, dx] = data.dilation;
const [[top0], [left0]] = data.pads, transposed = data.kind === "conv_transpose", ROWS = 8, READABLE = 20;  // a cell of so many pixels shows a number
const pads = transposed ? [[0, 0], [0, 0]] : data.pads;
const at = {y: 0, x: 0, channel: 0};
let backward = false, timer = null;

// ------------------------------------------------------------------------------------------------------------ What it reads

function reads(oy, ox) {  // kernel offsets with the inputs they meet; a transposed convolution goes the other way round
  const along = (o, k, s, d, pad, n) => {
    const found = [];
    for (let i = 0; i < k; i++) {
      if (!transposed) { const p = o * s - pad + i * d; found.push([i, p, p >= 0 && p < n]); continue; }
      const p = (o + pad - i * d) / s;
      if (Number.isInteger(p) && p >= 0 && p < n) found.push([i, p, true]);
    }
    return found;
  };
  const columns = along(ox, kw, sx, dx, left0, W);
  return along(oy, kh, sy, dy, top0, H).flatMap(([i, py, inY]) => columns.map(([j, px, inX]) => ({i, j, py, px, inside: inY && inX})));
}
function inputChannels(c) {
  if (!w) return Array.from({length: data.per_group}, (_, k) => c * data.per_group + k);
  const first = transposed ? Math.floor(c / data.w_channels[0]) * data.per_group : Math.floor(c / (data.channels / data.groups)) * data.per_group;
  return Array.from({length: data.per_group}, (_, k) => first + k);
}
function weight(i, j, k, c) {  // k: the input channel
  const [a, b] = data.w_channels, [p, q] = transposed ? [c % a, k] : [k % data.per_group, c];
  return w[((i * kw + j) * a + p) * b + q];
}
function input(cell, k) { return cell.inside ? x[(cell.py * W + cell.px) * data.in_channels + k] : 0; }
function output(oy, ox, c) { return y[(oy * ow + ox) * data.shown + c]; }
function terms() {  // per input channel: the cells, each with its value, factor and product
  const cells = reads(at.y, at.x), c = at.channel;
  const rows = inputChannels(c).map((k) => ({k, cells: cells.map((cell) => ({...cell, value: input(cell, k)}))}));
  if (data.kind === "max_pool") for (const row of rows) row.cells = row.cells.filter((cell) => cell.inside);
  const all = rows.flatMap((row) => row.cells);
  if (data.kind === "max_pool") {
    let best = all.findIndex((cell) => Number.isNaN(cell.value));
    if (best < 0) best = all.reduce((b, cell, q) => cell.value > all[b].value ? q : b, 0);
    all.forEach((cell, q) => { cell.factor = q === best ? 1 : 0; });
  } else if (data.kind === "avg_pool") {
    const n = data.count_include_pad ? data.size : all.filter((cell) => cell.inside).length;
    const share = data.dtype === "float32" ? Math.fround(1 / n) : 1 / n;
    for (const cell of all) cell.factor = cell.inside ? share : 0;
  } else for (const {k, cells: mine} of rows) for (const cell of mine) cell.factor = weight(cell.i, cell.j, k, c);
  for (const cell of all) cell.product = cell.value * cell.factor;
  return rows.map((row) => ({...row, sum: total(row.cells.map((cell) => cell.product))}));
}
const deep = data.depth, each = deep ? data.per_group / deep.length : 1;  // channels to a slice
function seen(k) {  // an input channel's own number, and the slice it is in: its offset in the kernel, its depth in x
  const at = k % data.per_group;
  return deep ? [Math.floor(k / data.per_group) * each + at % each, ...deep[Math.floor(at / each)]] : [k];
}
function channelName(k) { const [channel, , depth] = seen(k); return deep ? `channel ${channel}, depth ${depth}` : `channel ${channel}`; }
function total(list) {  // compensated (Neumaier): the sum as if in twice the precision
  let sum = 0, lost = 0;
  for (const v of list) { const t = sum + v; lost += Math.abs(sum) >= Math.abs(v) ? (sum - t) + v : (v - t) + sum; sum = t; }
  return Number.isFinite(lost) ? sum + lost : sum;
}

// ------------------------------------------------------------------------------------------------------------------ Drawing

const resolved = {};
function ink(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  resolved[name] = getComputedStyle(probe).color;
  probe.remove();
}
function short(v) {
  if (!Number.isFinite(v)) return String(v);
  if (Number.isInteger(v) && Math.abs(v) < 1e5) return String(v).replace("-", "−");
  const a = Math.abs(v);
  return (a !== 0 && (a < 0.01 || a >= 1e4) ? v.toExponential(0) : v.toFixed(a < 10 ? 2 : a < 100 ? 1 : 0)).replace("-", "−");
}
function full(v) { return String(+v.toPrecision(data.dtype === "float32" ? 9 : 17)).replace("-", "−"); }

// A grid of numbers on a canvas: value(r, c), fill, and cells to be framed; small cells show a shade instead of a number.
function grid(canvas, rows, columns, {value, fill, marks = [], room = 300}) {
  const size = Math.max(4, Math.min(38, Math.floor(room / Math.max(rows, columns)))), scale = window.devicePixelRatio || 1;
  canvas.width = (columns * size + 2) * scale; canvas.height = (rows * size + 2) * scale;
  canvas.style.width = `${columns * size + 2}px`; canvas.style.height = `${rows * size + 2}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.translate(1, 1);
  const write = (text, cx, cy) => {  // as large as fits
    const px = Math.min(13, size * 0.42);
    context.font = `${px}px system-ui, sans-serif`;
    const wide = context.measureText(text).width;
    if (wide > size - 4) context.font = `${Math.max(6, px * (size - 4) / wide)}px system-ui, sans-serif`;
    context.fillStyle = resolved.ink;
    context.fillText(text, cx, cy);
  };
  context.textAlign = "center"; context.textBaseline = "middle";
  let most = 0;
  if (size < READABLE) for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) { const v = value(r, c); if (Number.isFinite(v)) most = Math.max(most, Math.abs(v)); }
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const v = value(r, c), colour = fill(r, c);
      if (v === undefined && colour === null) continue;
      context.fillStyle = resolved[colour];
      context.fillRect(c * size, r * size, size, size);
      if (v !== undefined && size < READABLE) {
        context.globalAlpha = most ? Math.min(1, Math.abs(v) / most) * 0.85 : 0;
        context.fillStyle = resolved[v < 0 ? "negative" : "positive"];
        context.fillRect(c * size, r * size, size, size);
        context.globalAlpha = 1;
      }
      if (size >= 9) { context.strokeStyle = resolved.rule; context.lineWidth = 1; context.strokeRect(c * size + 0.5, r * size + 0.5, size - 1, size - 1); }
      if (v !== undefined && size >= READABLE) write(short(v), c * size + size / 2, r * size + size / 2 + 1);
    }
  context.strokeStyle = resolved.grad; context.lineWidth = size < READABLE ? 1.5 : 2.5;
  const rs = marks.map(([r]) => r), cs = marks.map(([, c]) => c), [r0, c0] = [Math.min(...rs), Math.min(...cs)];
  const [tall, wide] = [Math.max(...rs) - r0 + 1, Math.max(...cs) - c0 + 1];
  if (marks.length && tall * wide === marks.length) {  // one block: one frame
    context.lineWidth = 2.5;
    context.strokeRect(c0 * size + 0.5, r0 * size + 0.5, wide * size - 1, tall * size - 1);
  } else for (const [r, c] of marks) context.strokeRect(c * size + 1, r * size + 1, size - 2, size - 2);
  canvas.cell = size;
}

function figure(caption) {
  const f = document.createElement("figure"), c = document.createElement("canvas"), t = document.createElement("figcaption");
  t.textContent = caption;
  c.setAttribute("role", "img");
  f.append(t, c);
  return [f, c, t];
}
const lines = [];
function build() {
  const n = Math.min(ROWS, data.per_group);
  for (let r = 0; r < n; r++) {
    const row = document.createElement("div");
    row.className = "row";
    const parts = [figure(""), figure(""), figure("")], signs = ["×", "="].map((s) => { const it = document.createElement("span"); it.className = "sign"; it.textContent = s; return it; });
    const sum = document.createElement("span");
    sum.className = "sum";
    row.append(parts[0][0], signs[0], parts[1][0], signs[1], parts[2][0], sum);
    $("rows").append(row);
    lines.push({row, parts, signs, sum});
  }
  if (data.per_group > n) { const p = document.createElement("p"); p.id = "more"; $("rows").append(p); }
  for (let c = 0; c < data.shown; c++) { const o = document.createElement("option"); o.value = c; o.textContent = c; $("channel").append(o); }
  if (data.channels > data.shown) $("channel-label").append(` first ${data.shown} of ${data.channels}`);
  $("channel-label").hidden = data.shown < 2;
  if (data.levels.length) {
    const h = document.createElement("h2");
    h.textContent = "Receptive field: what this output depends on";
    $("levels").append(h);
    for (const level of data.levels) { const [f, c, t] = figure(`${level.name} ${level.shape}`); level.canvas = c; level.caption = t; $("levels").append(f); }
  }
}
const dense = data.kind === "dense", across = Math.min(data.shown, 16);
const slice = (k) => {
  const [channel, offset] = seen(k), front = deep ? `${offset}, ` : "";
  if (dense) return `w[:, ${at.channel}], folded`;
  return transposed ? `w[${front}:, :, ${at.channel % data.w_channels[0]}, ${channel}]` : `w[${front}:, :, ${deep ? channel % each : k % data.per_group}, ${at.channel}]`;
};
const kernelName = {max_pool: "the greatest", avg_pool: "shares"}[data.kind] || "kernel";

function show() {
  for (const name of ["ink", "rule", "input", "parameter", "product", "output", "pad", "grad", "paper", "negative", "positive"]) ink(name);
  const found = terms(), g = gradient ? gradient[(at.y * ow + at.x) * data.shown + at.channel] : 1;
  const wide = [H + pads[0][0] + pads[0][1], W + pads[1][0] + pads[1][1]];
  const room = Math.max(READABLE * 7, Math.min(320, (innerHeight - 90) / lines.length - 36));
  lines.forEach(({parts, signs, sum}, r) => {
    const {k, cells, sum: s} = found[r], by = new Map(cells.map((cell) => [`${cell.i} ${cell.j}`, cell])), on = new Map(cells.map((cell) => [`${cell.py} ${cell.px}`, cell]));
    const [[, a, ta], [, b, tb], [pf, p, tp]] = parts;
    const place = (row, column) => [row - pads[0][0], column - pads[1][0]];
    const inside = (py, px) => py >= 0 && py < H && px >= 0 && px < W;
    ta.textContent = backward ? `dL/dx, ${channelName(k)}: + g × ${w ? "w" : "share"}` : dense ? `x, ${H * W} values, folded` : `x, ${channelName(k)} (${H}×${W}${wide[0] > H || wide[1] > W ? " and padding" : ""})`;
    grid(a, ...wide, {room,
      value: (row, column) => { const [py, px] = place(row, column), cell = on.get(`${py} ${px}`); return backward ? (cell && cell.inside ? g * cell.factor : undefined) : inside(py, px) ? x[(py * W + px) * data.in_channels + k] : w ? 0 : undefined; },
      fill: (row, column) => inside(...place(row, column)) ? "input" : "pad",
      marks: cells.map((cell) => [cell.py + pads[0][0], cell.px + pads[1][0]])});
    tb.textContent = backward && w ? `dL/d${slice(k)}: + g × x` : w ? slice(k) : kernelName;
    grid(b, kh, kw, {room: Math.min(room, Math.max(kh, kw) * 38),
      value: (i, j) => { const cell = by.get(`${i} ${j}`); if (backward && w) return cell ? g * cell.value : undefined; return cell ? cell.factor : w ? weight(i, j, k, at.channel) : undefined; },
      fill: (i, j) => by.has(`${i} ${j}`) || w ? "parameter" : "pad", marks: transposed ? cells.map((cell) => [cell.i, cell.j]) : []});
    tp.textContent = "products";
    grid(p, kh, kw, {room: Math.min(room, Math.max(kh, kw) * 38), value: (i, j) => { const cell = by.get(`${i} ${j}`); return cell && cell.product; }, fill: (i, j) => by.has(`${i} ${j}`) ? "product" : "pad"});
    for (const it of [pf, signs[1], sum]) it.hidden = backward;
    signs[0].textContent = backward ? "" : "×";
    sum.textContent = data.kind === "max_pool" ? "" : `sum ${full(s)}`;
    a.setAttribute("aria-label", `Input ${channelName(k)}, ${cells.length} cells read`);
    b.setAttribute("aria-label", `${kernelName} for ${channelName(k)}`);
    p.setAttribute("aria-label", `Products of ${channelName(k)}, together ${full(s)}`);
  });
  if ($("more")) $("more").textContent = `and ${data.per_group - lines.length} more ${deep ? "slices and channels" : "channels"}, together ${full(total(found.slice(lines.length).map((f) => f.sum)))}`;
  if (dense) {
    $("output-title").textContent = `y, ${data.channels} outputs${data.then ? `, before ${data.then}` : ""}`;
    grid($("output"), Math.ceil(data.shown / across), across, {room: 440, marks: [[Math.floor(at.channel / across), at.channel % across]],
      value: (r, c) => r * across + c < data.shown ? output(0, 0, r * across + c) : undefined, fill: (r, c) => r * across + c < data.shown ? "output" : null});
  } else {
    $("output-title").textContent = `y, channel ${at.channel} (${oh}×${ow})${data.then ? `, before ${data.then}` : ""}`;
    grid($("output"), oh, ow, {room: 400, value: (r, c) => output(r, c, at.channel), fill: () => "output", marks: [[at.y, at.x]]});
  }
  say(found, g);
  levels();
}
function say(found, g) {
  const bias = added ? (added.length === data.shown ? added[at.channel] : added[(at.y * ow + at.x) * data.shown + at.channel]) : null;
  const held = output(at.y, at.x, at.channel), cells = found.flatMap((f) => f.cells), sum = total(cells.map((cell) => cell.product));
  const all = [...cells.map((cell) => cell.product), ...(bias === null ? [] : [bias])], rounding = total([held, ...all.map((v) => -v)]);
  const name = `y[${[deep ? data.z : null, data.out[0] > 1 || data.out[1] > 1 ? `${at.y}, ${at.x}` : null, at.channel].filter((v) => v !== null).join(", ")}]`;
  const b = (text) => { const e = document.createElement("b"); e.textContent = text; return e; };
  const small = document.createElement("span");
  small.className = "terms";
  const nonzero = cells.filter((cell) => cell.inside);
  if (data.kind !== "max_pool" && nonzero.length <= 36) small.textContent = nonzero.map((cell) => `${short(cell.value)}·${cell.factor < 0 ? `(${short(cell.factor)})` : short(cell.factor)}`).join(" + ") + " = ";
  const out = backward
    ? [b(`g = dL/d${name} = ${full(g)}`), gradient ? ". " : " (a unit: no loss was given). ", w ? `It adds g × kernel to the gradient of the patch, and g × patch to the gradient of the kernel${bias === null ? "" : ", and g to that of the bias"}.` : data.kind === "max_pool" ? "All of it goes to the greatest." : "It is shared out equally."]
    : [b(`${name} = `), small, data.kind === "max_pool" ? b(`max of ${cells.length} = ${full(held)}`) : b(full(sum)), ...(bias === null ? [] : [` + bias ${full(bias)}`]),
      ...(rounding && Number.isFinite(rounding) ? [` + rounding in ${data.dtype} ${rounding.toExponential(2).replace("-", "−")}`] : []),
      ...(data.kind === "max_pool" ? [] : [" = ", b(full(held))]), ", which the tensor holds."];
  $("equation").replaceChildren(...out);
  $("equation").dataset.sum = sum + (bias || 0);
  $("equation").dataset.held = held;
  $("output").setAttribute("aria-label", `Output channel ${at.channel}; chosen: row ${at.y}, column ${at.x}, value ${full(held)}`);
}
function levels() {
  for (const level of data.levels) {
    const codes = level.bytes = level.bytes || Uint8Array.from(atob(level.codes), (ch) => ch.charCodeAt(0)), scale = Math.max(1, Math.floor(150 / Math.max(level.h, level.w)));
    const canvas = level.canvas, context = canvas.getContext("2d");
    canvas.width = level.w * scale; canvas.height = level.h * scale;
    for (let r = 0; r < level.h; r++) for (let c = 0; c < level.w; c++) { const v = 255 - codes[r * level.w + c]; context.fillStyle = `rgb(${v},${v},${v})`; context.fillRect(c * scale, r * scale, scale, scale); }
    const span = (s, o, n) => s ? [Math.max(0, Math.ceil(s[0] * o + s[1])), Math.min(n - 1, Math.floor(s[0] * o + s[2]))] : [0, n - 1];
    const [y0, y1] = span(level.spans[0], at.y, level.h), [x0, x1] = span(level.spans[1], at.x, level.w);
    context.strokeStyle = resolved.grad; context.lineWidth = 3;
    context.strokeRect(x0 * scale + 1.5, y0 * scale + 1.5, Math.max(1, (x1 - x0 + 1) * scale - 3), Math.max(1, (y1 - y0 + 1) * scale - 3));
    level.caption.textContent = `${level.name} ${level.shape}: ${Math.max(0, y1 - y0 + 1)}×${Math.max(0, x1 - x0 + 1)}`;
    canvas.setAttribute("aria-label", `Receptive field: rows ${y0} to ${y1}, columns ${x0} to ${x1} of ${level.name}`);
  }
}

// ------------------------------------------------------------------------------------------------------------------- Moving

function step(by) {
  const n = oh * ow, k = ((at.channel * n + at.y * ow + at.x + by) % (n * data.shown) + n * data.shown) % (n * data.shown);
  at.channel = Math.floor(k / n); at.y = Math.floor(k % n / ow); at.x = k % ow;
  $("channel").value = at.channel;
  show();
}
function moveTo(yy, xx) { at.y = Math.max(0, Math.min(oh - 1, yy)); at.x = Math.max(0, Math.min(ow - 1, xx)); show(); }
function pause() { clearInterval(timer); timer = null; $("play").textContent = "Play"; $("play").setAttribute("aria-pressed", "false"); $("equation").setAttribute("aria-live", "polite"); }
function play() { clearInterval(timer); timer = setInterval(() => step(1), 2400 / $("speed").value); $("play").textContent = "Pause"; $("play").setAttribute("aria-pressed", "true"); $("equation").setAttribute("aria-live", "off"); }
$("play").onclick = () => timer ? pause() : play();
$("speed").oninput = () => { if (timer) play(); };
$("next").onclick = () => { pause(); step(1); };
$("previous").onclick = () => { pause(); step(-1); };
$("channel").onchange = () => { at.channel = +$("channel").value; show(); };
$("direction").onclick = () => { backward = !backward; $("direction").setAttribute("aria-pressed", backward); show(); };
$("output").onclick = (event) => { pause(); const s = $("output").cell;
  if (dense) { at.channel = Math.min(data.shown - 1, Math.floor((event.offsetY - 1) / s) * across + Math.floor((event.offsetX - 1) / s)); $("channel").value = at.channel; show(); return; }
  moveTo(Math.floor((event.offsetY - 1) / s), Math.floor((event.offsetX - 1) / s)); };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "INPUT"].includes(event.target.tagName)) return;
  const side = (by) => dense ? step(by) : moveTo(at.y, at.x + by);
  const keys = {ArrowLeft: () => side(-1), ArrowRight: () => side(1), ArrowUp: () => moveTo(at.y - 1, at.x), ArrowDown: () => moveTo(at.y + 1, at.x),
    b: () => $("direction").click(), "]": () => step(oh * ow), "[": () => step(-oh * ow)};
  if (event.key === " " && event.target.tagName !== "BUTTON") $("play").click();
  else if (keys[event.key]) { pause(); keys[event.key](); }
  else return;
  event.preventDefault();
});
window.addEventListener("resize", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
build();
show();
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
document.documentElement.dataset.ready = "true";
