// --------------------------------------------------------------------------------------------------- The backward pass

let at = -1, stepping = false, timer = null;
const stepOf = new Map(data.steps.map((node, k) => [node, k]));
const followed = new Map();  // node -> the steps that contribute to its gradient
data.steps.forEach((node, k) => { for (const input of new Set(nodes[node].inputs)) { if (!followed.has(input)) followed.set(input, []); followed.get(input).push(k); } });
function arrived(node) { const all = followed.get(node) || []; return [all.filter((k) => k <= at).length, all.length]; }
let known_ = [NaN, new Set()];  // the step, and the nodes whose gradients are complete then
function gradientsKnown() {
  if (known_[0] === at) return known_[1];
  const known = new Set(data.seeds);
  for (const [node, steps] of followed) if (steps[steps.length - 1] <= at) known.add(node);
  known_ = [at, known];
  return known;
}
function reachedAt(item) {  // the step in which the gradient first comes here
  if (item.reached === undefined) {
    const steps = item.box ? item.children.map(reachedAt) : [stepOf.get(item.k), flowsTo(item.k) ? (followed.get(item.k) || [])[0] : undefined].filter((k) => k !== undefined);
    item.reached = Math.min(Infinity, ...steps);
  }
  return item.reached;
}
function flowsTo(k) { return nodes[k].kind !== "constant" && (!data.has_gradients || nodes[k].gradient !== undefined); }
function partly(k) { return ((nodes[k].arrivals || []).filter(([user]) => stepOf.get(user) <= at).pop() || [])[1]; }
function gradientText(k, known = gradientsKnown()) {  // what has arrived so far; as in the engine, 0 before anything has
  const so = known.has(k) ? nodes[k].gradient : partly(k);
  return so === undefined ? "0" : minus(written(data.pictures[so]));
}
async function go(to) {
  const before = stepping;
  at = Math.max(-1, Math.min(data.steps.length - 1, to));
  stepping = at >= 0;
  $("progress").textContent = stepping ? `${at + 1} of ${data.steps.length}` : "";
  if (stepping) { selected = nodes[data.steps[at]]; stepDetails(); }
  if (stepping !== before) await draw(); else refresh();
  if (stepping) reveal(selected); else if (selected) details(selected);
  if (at >= data.steps.length - 1) pause();
  $("back").disabled = at < 0;
  $("step").disabled = $("play").disabled = at >= data.steps.length - 1;
}
function stepDetails() {
  const node = nodes[data.steps[at]], out = [];
  out.push(make("h2", {}, `Step ${at + 1}: ${node.name}`), make("p", {class: "about"}, `backward through ${node.label}${node.module ? ` in ${node.module}` : ""}`));
  if (data.formulas[node.op]) out.push(prose(data.formulas[node.op], {class: "formula"}));
  out.push(numbers("Incoming gradient", node, "gradient"));
  for (const input of [...new Set(node.inputs)]) {
    const [got, all] = arrived(input);
    if (!all || !flowsTo(input)) continue;
    out.push(numbers(`Outgoing: gradient of ${nodes[input].name}${all > 1 ? ` (${got} of ${all})` : ""}`, nodes[input], "gradient"));
    for (const text of filledIn(node, input)) out.push(make("p", {class: "formula filled"}, text));
  }
  if (node.source) out.push(make("h3", {}, "Source line"), make("code", {}, node.source));
  $("details").replaceChildren(...out);
}

// The rule of an operation on single numbers, with the numbers in it: (1 − 0.9993²) × 2.00 = 0.00268
const BINARY = {"+": [1, (a, b) => a + b], "-": [1, (a, b) => a - b], "*": [2, (a, b) => a * b], "/": [2, (a, b) => a / b], "**": [4, (a, b) => a ** b]};
const SIGNS = {"-": "−", "*": "×", "/": "/", "+": "+"};
const UNARY = {neg: (a) => -a, sigmoid: (a) => 1 / (1 + Math.exp(-a)), "1/x": (a) => 1 / a, "x²": (a) => a * a,
  ...Object.fromEntries(["exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "abs", "log1p", "expm1"].map((name) => [name, Math[name]]))};
function worth(rule, known) {
  if (typeof rule === "number") return rule;
  if (typeof rule === "string") return known[rule];
  const [sign, ...parts] = rule, numbers = parts.map((part) => worth(part, known)), does = parts.length === 2 ? BINARY[sign] && BINARY[sign][1] : UNARY[sign];
  return does ? does(...numbers) : NaN;
}
function say(rule, known) {  // [text, how tightly it holds together]
  if (typeof rule === "number") return [minus(String(rule)), rule < 0 ? 3 : 9];
  if (typeof rule === "string") { const text = rule === "?" ? String(known[rule]) : digits(known[rule], rule === "g" ? 3 : 4); return [text, text.startsWith("−") ? 3 : 9]; }
  const [sign, ...parts] = rule, wrap = (part, least) => { const [text, holds] = say(part, known); return holds < least ? `(${text})` : text; };
  if (parts.length === 1) return sign === "neg" ? [`−${wrap(parts[0], 4)}`, 3] : [`${sign}(${say(parts[0], known)[0]})`, 9];
  const [holds] = BINARY[sign] || [9], same = JSON.stringify(parts[0]) === JSON.stringify(parts[1]);
  if (sign === "*" && same) return [`${wrap(parts[0], 9)}²`, 4];
  if (sign === "**") return Number.isInteger(worth(parts[1], known)) ? [wrap(parts[0], 9) + [...String(worth(parts[1], known))].map((c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[+c]).join(""), 4] : [`${wrap(parts[0], 9)}^${wrap(parts[1], 9)}`, 4];
  return [`${wrap(parts[0], holds)} ${SIGNS[sign] || sign} ${wrap(parts[1], holds + (sign === "-" || sign === "/" ? 1 : 0))}`, holds];
}
function number(k) { return k === undefined ? NaN : Number(data.pictures[k].exact); }
function contribution(node, input) {  // what a step added to a gradient
  const arrivals = nodes[input].arrivals || [], place = arrivals.findIndex(([user]) => user === node.k);
  const after = place >= 0 ? number(arrivals[place][1]) : number(nodes[input].gradient), before = place > 0 ? number(arrivals[place - 1][1]) : place < 0 && arrivals.length ? number(arrivals[arrivals.length - 1][1]) : 0;
  return after - before;
}
function filledIn(node, input) {
  if (node.rule === undefined) return [];
  const g = number(node.gradient), added = contribution(node, input), rules = node.inputs.map((k, place) => k === input ? data.rules[node.rule][place] : null).filter((rule) => rule !== null);
  if (!rules.length || !Number.isFinite(added)) return [];
  const rule = rules.reduce((a, b) => ["+", a, b]), known = {g, y: number(node.value)};
  node.inputs.forEach((k, place) => { known[`x${place}`] = number(nodes[k].value === undefined ? undefined : nodes[k].value); });
  for (const condition of [1, 0]) {
    known["?"] = condition;
    const got = worth(rule, known);
    if (Math.abs(got - added) <= 1e-4 * Math.abs(added) + 1e-12) return [`${rule === "g" ? "1 × " : ""}${say(rule, known)[0]} = ${digits(added, 3)}`];
  }
  return [`${digits(added / g, 4)} × ${digits(g, 3)} = ${digits(added, 3)}`];  // its rule asks for more than these numbers
}
function play() { timer = setInterval(() => go(at + 1), 700); $("play").textContent = "Pause"; $("play").setAttribute("aria-pressed", "true"); }
function pause() { clearInterval(timer); timer = null; $("play").textContent = "Play"; $("play").setAttribute("aria-pressed", "false"); }
$("step").onclick = () => go(at + 1);
$("back").onclick = () => { pause(); go(at - 1); };
$("reset").onclick = () => { pause(); go(-1); };
$("play").onclick = () => timer ? pause() : play();
