// --------------------------------------------------------------------------------------------------- The backward pass

let at = -1, stepping = false, timer = null;
const stepOf = new Map(data.steps.map((node, k) => [node, k]));
const followed = new Map();  // node -> the steps that contribute to its gradient
data.steps.forEach((node, k) => { for (const input of new Set(nodes[node].inputs)) { if (!followed.has(input)) followed.set(input, []); followed.get(input).push(k); } });
function arrived(node) { const all = followed.get(node) || []; return [all.filter((k) => k <= at).length, all.length]; }
function gradientsKnown() {
  const known = new Set(data.seeds);
  for (let k = 0; k <= at; k++) for (const input of nodes[data.steps[k]].inputs) { const [got, all] = arrived(input); if (got === all) known.add(input); }
  return known;
}
function go(to) {
  stepping = to >= 0 || stepping;
  at = Math.max(-1, Math.min(data.steps.length - 1, to));
  if (at < 0 && to < 0) stepping = false;
  $("progress").textContent = stepping ? `${at + 1} of ${data.steps.length}` : "";
  refresh();
  if (at >= 0 && stepping) { selected = nodes[data.steps[at]]; refresh(); reveal(selected); stepDetails(); } else if (selected) details(selected);
  if (at >= data.steps.length - 1) pause();
  $("back").disabled = at < 0;
  $("step").disabled = $("play").disabled = at >= data.steps.length - 1;
}
function stepDetails() {
  const node = nodes[data.steps[at]], out = [];
  out.push(make("h2", {}, `Step ${at + 1}: ${node.name}`), make("p", {class: "about"}, `backward through ${node.label}${node.module ? ` in ${node.module}` : ""}`));
  if (data.formulas[node.op]) out.push(make("p", {class: "formula"}, data.formulas[node.op]));
  out.push(numbers("Incoming gradient", node, "gradient"));
  for (const input of [...new Set(node.inputs)]) {
    const [got, all] = arrived(input);
    if (all && nodes[input].kind !== "constant") out.push(numbers(`Outgoing: gradient of ${nodes[input].name}${all > 1 ? ` (${got} of ${all})` : ""}`, nodes[input], "gradient"));
  }
  if (node.source) out.push(make("h3", {}, "Source line"), make("code", {}, node.source));
  $("details").replaceChildren(...out);
}
function play() { timer = setInterval(() => go(at + 1), 700); $("play").textContent = "Pause"; $("play").setAttribute("aria-pressed", "true"); }
function pause() { clearInterval(timer); timer = null; $("play").textContent = "Play"; $("play").setAttribute("aria-pressed", "false"); }
$("step").onclick = () => go(at + 1);
$("back").onclick = () => { pause(); go(at - 1); };
$("reset").onclick = () => { pause(); go(-1); };
$("play").onclick = () => timer ? pause() : play();

