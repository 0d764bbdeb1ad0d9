"use strict";
// The microscope's page: for one output at a time, what it reads, what that is multiplied by, and the sum.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const exact = (list) => list && (data.dtype === "float32" ? Float32Array : Float64Array).from(list, Number);
const x = exact(data.x), w = exact(data.w), y = exact(data.y), added = exact(data.added), gradient = exact(data.g);
const [H, W] = data.in, [kh, kw] = data.kernel, [oh, ow] = data.out, [sy, sx] = data.stride, [dy, dx] = data.dilation;
const [[top0], [left0]] = data.pads, transposed = data.kind === "conv_transpose";
const pads = transposed ? [[0, 0], [0, 0]] : data.pads;
const dense = data.kind === "dense", largest = data.kind === "max_pool", across = Math.min(data.shown, 16);
const at = {y: 0, x: 0, channel: 0, row: 0};  // the output, and which of the input channels it reads is shown
let backward = false, timer = null, hot = -1;  // the term that is pointed at

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
