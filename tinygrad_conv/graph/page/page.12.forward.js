// --------------------------------------------------------------------------------------------------------------- Forward
// The net once more, in plain JavaScript, from its inputs and weights: for the layers that a page knows.

function dims(item) { return item.shape === "scalar" ? [] : (item.shape || "").match(/\d+/g)?.map(Number) || []; }
function size(shape) { return shape.reduce((a, b) => a * b, 1); }
let leaves = null;  // node -> its numbers
function unpacked() {
  if (leaves) return leaves;
  leaves = new Map();
  const {letters, leaves: known = [], packed = ""} = data.numbers, codes = integers(packed, letters), half = Math.floor((92 ** letters - 1) / 2);
  let at = 0;
  for (const [node, count, peak] of known) leaves.set(node, Float32Array.from({length: count}, () => (codes[at++] / half - 1) * peak));
  return leaves;
}

const each1 = (f) => (node, [a]) => Float64Array.from(a, f);
const each2 = (f) => (node, [a, b], [from, to]) => {  // as NumPy broadcasts
  const shape = dims(node), out = new Float64Array(size(shape)), steps = (of) => {
    const s = new Array(shape.length).fill(0);
    for (let d = of.length - 1, step = 1, k = shape.length - 1; d >= 0; d--, k--) { s[k] = of[d] === 1 ? 0 : step; step *= of[d]; }
    return s;
  };
  const [p, q] = [steps(from), steps(to)];
  for (let k = 0; k < out.length; k++) {
    let rest = k, i = 0, j = 0;
    for (let d = shape.length - 1; d >= 0; d--) { const c = rest % shape[d]; rest = (rest - c) / shape[d]; i += c * p[d]; j += c * q[d]; }
    out[k] = f(a[i], b[j]);
  }
  return out;
};
function sliding(node, x, shape, visit) {  // for each output's place its window: visit(n, place, [[offset, input's place], ...])
  const {kernel: [kh, kw], stride: [sy, sx], dilation: [dy, dx], pads: [[top], [left]]} = node.window, [N, H, W] = shape, [, oh, ow] = dims(node);
  for (let n = 0; n < N; n++) for (let oy = 0; oy < oh; oy++) for (let ox = 0; ox < ow; ox++) {
    const cells = [];
    for (let i = 0; i < kh; i++) for (let j = 0; j < kw; j++) {
      const py = oy * sy - top + i * dy, px = ox * sx - left + j * dx;
      if (py >= 0 && py < H && px >= 0 && px < W) cells.push([i * kw + j, (n * H + py) * W + px]);
    }
    visit((n * oh + oy) * ow + ox, cells);
  }
}
function pooled(combine) {
  return (node, [x], [shape]) => {
    const C = shape[3], out = new Float64Array(size(dims(node))), {kernel, count_include_pad} = node.window;
    sliding(node, x, shape, (place, cells) => { for (let c = 0; c < C; c++) out[place * C + c] = combine(cells.map(([, at]) => x[at * C + c]), count_include_pad ? kernel[0] * kernel[1] : cells.length); });
    return out;
  };
}
function convolved(node, [x, w], [shape, kernel]) {
  const C = shape[3], [, , per, K] = kernel, groups = node.window.groups, out = new Float64Array(size(dims(node)));
  sliding(node, x, shape, (place, cells) => {
    for (const [offset, at] of cells) for (let c = 0; c < C; c++) {
      const v = x[at * C + c], group = Math.floor(c / per), row = (offset * per + c % per) * K, wide = K / groups;
      if (v !== 0) for (let k = group * wide; k < (group + 1) * wide; k++) out[place * K + k] += v * w[row + k];
    }
  });
  return out;
}
function product(node, [a, b], [, [inner, K]]) {
  const out = new Float64Array(a.length / inner * K);
  for (let r = 0; r < a.length / inner; r++) for (let i = 0; i < inner; i++) { const v = a[r * inner + i]; if (v !== 0) for (let k = 0; k < K; k++) out[r * K + k] += v * b[i * K + k]; }
  return out;
}
function soft(a, K) {
  const out = new Float64Array(a.length);
  for (let r = 0; r < a.length; r += K) {
    const most = Math.max(...a.subarray(r, r + K));
    let sum = 0;
    for (let k = r; k < r + K; k++) sum += out[k] = Math.exp(a[k] - most);
    for (let k = r; k < r + K; k++) out[k] /= sum;
  }
  return out;
}
const last = (node) => dims(node)[dims(node).length - 1];
const FORWARD = {
  conv: convolved, pool_max: pooled((values) => Math.max(...values)), pool_mean: pooled((values, n) => values.reduce((a, b) => a + b, 0) / n),
  pool_maxima: pooled((values) => Math.max(...values)),
  _matmul: product, reshape: (node, [a]) => a, identity: (node, [a]) => a, softmax: (node, [a]) => soft(Float64Array.from(a), last(node)),
  add: each2((a, b) => a + b), subtract: each2((a, b) => a - b), multiply: each2((a, b) => a * b), divide: each2((a, b) => a / b),
  tanh: each1(Math.tanh), relu: each1((a) => Math.max(a, 0)), sigmoid: each1((a) => a < 0 ? Math.exp(a) / (1 + Math.exp(a)) : 1 / (1 + Math.exp(-a))),
  exp: each1(Math.exp), log: each1(Math.log), negative: each1((a) => -a), sqrt: each1(Math.sqrt), square: each1((a) => a * a),
};
function knows(node) {  // is its operation one of these, on shapes that they are written for?
  if (!FORWARD[node.op] || node.order) return false;
  const shapes = node.inputs.map((k) => dims(nodes[k]));
  if (node.window) return node.window.kernel.length === 2 && shapes[0].length === 4;
  if (node.op === "_matmul") return shapes[0].length > 1 && shapes[1].length === 2;
  return node.op !== "softmax" || node.params.every(([name, value]) => name !== "axis" || value === "-1" || +value === shapes[0].length - 1);
}
function forward(given = new Map()) {  // node -> its numbers, for all that follow from the leaves, some of which are given
  const found = new Map([...unpacked(), ...given]);
  nodes.forEach((node, k) => {
    if (found.has(k) || !node.inputs.length || !node.inputs.every((input) => found.has(input))) return;
    if (node.kind === "output") found.set(k, found.get(node.inputs[0]));
    else if (knows(node)) found.set(k, FORWARD[node.op](node, node.inputs.map((input) => found.get(input)), node.inputs.map((input) => dims(nodes[input]))));
  });
  return found;
}
function follows() {  // the nodes that `forward` finds, without computing anything
  const found = new Set((data.numbers.leaves || []).map(([k]) => k));
  nodes.forEach((node, k) => { if (!found.has(k) && node.inputs.length && node.inputs.every((input) => found.has(input)) && (node.kind === "output" || knows(node))) found.add(k); });
  return found;
}
const computable = follows();
