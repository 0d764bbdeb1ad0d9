// ------------------------------------------------------------------------------------------------------ The microscope
// Of a convolution, a pooling or a dense layer: its own page, filled with what this page computes, in a frame above it.

const SCOPES = {conv: "conv", pool_max: "max_pool", pool_mean: "avg_pool", _matmul: "dense"};
function openings(item) {
  const whole = item.box ? nodes.find((node) => chain(node).includes(item) && SCOPES[node.op]) : item;
  return whole && canOpen(whole) ? [button("Microscope: every number of it", () => look(whole), {class: "primary"})] : [];
}
function canOpen(node) {
  return Boolean(data.microscope && SCOPES[node.op] && computable.has(node.k) && knows(node) && (node.op !== "_matmul" || dims(nodes[node.inputs[0]]).length === 2));
}
async function look(node) {
  const found = live || forward(), [first, second] = node.inputs, x = found.get(first), w = second === undefined ? null : found.get(second);
  const plus = users[node.k].map((k) => nodes[k]).find((user) => user.op === "add" && computable.has(user.k)), other = plus && plus.inputs.find((k) => k !== node.k);
  const bias = other !== undefined && dims(nodes[other]).length === 1 && nodes[other].kind !== "operation" ? found.get(other) : null;
  const shape = dims(node), channels = last(node), y = found.get(bias ? plus.k : node.k), single = (list) => Array.from(list.subarray(0, list.length / (shape[0] || 1)));
  const facts = {kind: SCOPES[node.op], label: node.label, dtype: "float32", channels, shown: channels, added: bias && Array.from(bias), levels: [], g: null, then: "", computed: 1, still: 1,
    x: single(x), y: single(y), w: w && Array.from(w)};
  if (node.op === "_matmul") {
    const [inner] = dims(nodes[second]);
    let wide = Math.min(inner, 32);
    while (inner % wide) wide--;
    if (wide < 4) wide = inner;
    Object.assign(facts, {kernel: [inner / wide, wide], in: [inner / wide, wide], out: [1, 1], stride: [1, 1], dilation: [1, 1], pads: [[0, 0], [0, 0]], groups: 1, per_group: 1, in_channels: 1, w_channels: [1, channels]});
  } else {
    const [, h, wide, C] = dims(nodes[first]), kernel = w ? dims(nodes[second]) : null;
    Object.assign(facts, node.window, {in: [h, wide], out: shape.slice(1, 3), size: node.window.kernel[0] * node.window.kernel[1], in_channels: C, per_group: kernel ? kernel[2] : 1, w_channels: kernel && kernel.slice(2)});
  }
  const text = JSON.stringify(facts).replaceAll("<", "\\u003c"), said = `${node.label}${node.module ? ` in ${node.module}` : ""}: ${nodes[first].shape} to ${node.shape}`;
  const [colours] = document.querySelector("style").textContent.match(/:root \{[^}]*\}/);  // this page's own
  const put = (page, [name, value]) => page.replace("{" + `{${name}}}`, () => value);  // its template has places for these
  $("scope").showModal();
  $("scope-frame").srcdoc = [["title", "Microscope"], ["title", said], ["summary", node.options || ""], ["colours", colours], ["data", text]].reduce(put, await released(data.microscope));
}
$("scope-close").onclick = () => $("scope").close();
$("scope").addEventListener("close", () => { $("scope-frame").removeAttribute("srcdoc"); });
svg.addEventListener("dblclick", (event) => { const item = itemAt(event); if (item && !item.box && canOpen(item)) look(item); });
