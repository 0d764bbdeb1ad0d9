// ---------------------------------------------------------------------------------------------------------------- Begin

for (const kind of ["input", "parameter", "constant", "operation", "output", "module"])
  if (kind === "module" ? boxes.size > 1 : nodes.some((node) => node.kind === kind)) {
    const s = make("svg", {viewBox: "0 0 18 12", "aria-hidden": "true"}, make("g", {class: kind}, make("rect", {class: "card", x: 1, y: 1, width: 16, height: 10, rx: {input: 5, output: 5, operation: 3, module: 3}[kind] || 0})));
    $("legend").append(make("li", {}, s, kind === "module" ? "closed module" : kind));
  }
for (const note of data.notes) $("legend").append(make("li", {}, note));
if (data.has_gradients) { const s = make("svg", {viewBox: "0 0 18 12", "aria-hidden": "true"}, make("rect", {class: "frame grad", x: 1, y: 1, width: 16, height: 10})); $("legend").append(make("li", {}, s, "gradient")); }
if (data.has_values || data.has_gradients) $("legend").append(make("li", {}, "colours: blue below 0, white 0, red above; grey scale where no sign changes"));
for (const id of ["step", "back", "play", "reset"]) if (!data.steps.length) $(id).disabled = true;
$("back").disabled = true;
draw();
start();
const final = nodes[data.seeds.find((k) => nodes[k].kind === "output")] || nodes[nodes.length - 1];
if (final) { selected = null; details(final); refresh(); }
document.documentElement.dataset.ready = "true";
