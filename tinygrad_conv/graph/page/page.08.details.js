// --------------------------------------------------------------------------------------------- Selection and the details

async function select(item, bring = true) {
  selected = item;
  if (bring && item && shownAs(item) !== item) { unfoldTo(item); await draw(); }
  refresh();
  if (!item) return;
  if (bring) reveal(item);
  details(item);
}
function refresh() {
  const found = new Set(matches.map((node) => shownAs(node).id)), chosen = selected && shownAs(selected).id;
  const now = at >= 0 ? data.steps[at] : -1, first = nodes.length && shownAs(nodes[0]).id;
  const filled = stepping ? gradientsKnown() : null, current = now >= 0 ? shownAs(nodes[now]).id : "";
  const things_ = new Map(things.map((item) => [item.id, item]));
  for (const [id, g] of byId) {
    g.classList.toggle("selected", id === chosen);
    g.setAttribute("tabindex", id === chosen || (!(chosen && byId.has(chosen)) && id === first) ? 0 : -1);
    g.classList.toggle("match", found.has(id));
    g.classList.toggle("dim", matches.length > 0 && !found.has(id) && !g.classList.contains("box"));
    g.classList.toggle("reached", stepping && reachedAt(things_.get(id)) <= at);
    g.classList.toggle("current", id === current);
    const late = g.querySelector(".late"), grad = stepping && g.querySelector("text.grad");
    if (late) late.style.display = !stepping || filled.has(+id.slice(1)) ? "" : "none";
    if (grad) grad.textContent = "grad " + gradientText(+id.slice(1), filled);
  }
  for (const edge of drawn) {
    if (!edge.path) continue;
    const steps = edge.pairs.map(([input, user]) => stepOf.has(user) && flowsTo(input) ? stepOf.get(user) : Infinity);
    edge.path.classList.toggle("flowed", stepping && Math.min(...steps) <= at);
    edge.path.classList.toggle("flowing", now >= 0 && steps.includes(at));
    edge.path.classList.toggle("lit", edge.from.id === chosen || edge.to.id === chosen);
  }
}
function row(name, ...values) { return make("tr", {}, make("th", {scope: "row"}, name), make("td", {}, ...values)); }
function linkTo(k) { return button(nodes[k].name, async () => { await select(nodes[k]); focus(nodes[k]); }); }
function links(name, list, most) {
  const div = make("div", {class: "links"}), all = [...new Set(list)];
  for (const k of all.slice(0, most)) div.append(linkTo(k), " ");
  if (all.length > most) div.append(`and ${many(all.length - most)} more`);
  return [make("h3", {}, name), div];
}
function prose(text, attributes) {  // `names` between backticks are code
  return make("p", attributes, ...text.split("`").map((part, k) => k % 2 ? make("code", {}, part) : part));
}
function costs(t, item) {
  if (item.n_params) t.append(row("parameters", many(item.n_params)));
  for (const [name, field, say] of [AMOUNTS.cost, AMOUNTS.bytes, AMOUNTS.time]) if (item[field]) t.append(row(name, field === "time" ? say(item[field]) : many(item[field])));
}
function details(item) {
  const out = [make("h2", {}, item.box ? title(item) : item.name)];
  if (item.box) {
    const what = {module: "module", repeat: item.round ? "equal blocks, each computed from the one before" : "equal blocks side by side", block: "one of equal blocks", part: "nodes that follow one another"}[item.kind];
    out.push(make("p", {class: "about"}, [what, item.kind !== "repeat" && whatOf(item)].filter(Boolean).join(" ")));
    const t = make("table", {}, row("path", item.kind === "module" ? item.path : item.name), row("nodes", many(item.size)));
    if (item.options) t.append(row("options", item.options));
    costs(t, item);
    const act = make("p", {}, button(item.open ? "Close" : "Open", () => swing(item)));
    if (item.kind === "repeat") act.append(" ", button(item.folded ? `Show all ${many(item.blocks.length)}` : "Show one for all", () => { item.open = true; unfold(item); }));
    act.append(" ", ...openings(item));
    out.push(t, act, ...links("Inside", nodes.flatMap((node, k) => chain(node).includes(item) ? [k] : []), 60));
  } else {
    const what = {operation: item.op ? `operation ${item.op.replace(/^_/, "")}` : "operation"}[item.kind] || item.kind;
    out.push(make("p", {class: "about"}, item.module ? `${what} in ${item.module}` : what));
    const t = make("table");
    for (const [name, value] of [["shape", item.shape], ["dtype", item.dtype], ...(item.params || [])]) if (value) t.append(row(name, value));
    costs(t, item);
    for (let box = item.parent; box !== root; box = box.parent)
      if (box.kind === "repeat" && box.folded && box.open) t.append(row("stands for", `the same in ${many(box.blocks.length)} equal ${box.round ? "iterations" : "blocks"}`));
    out.push(t);
    const within = openings(item);
    if (within.length) out.push(make("p", {class: "openings"}, ...within));
    if (item.source) out.push(make("h3", {}, "Source line"), make("code", {}, item.source));
    if (item.op && data.formulas[item.op]) out.push(make("h3", {}, "Derivative"), prose(data.formulas[item.op], {class: "formula"}));
    out.push(numbers("Value", item, "value"));
    if (data.has_gradients || stepping) out.push(numbers("Gradient", item, "gradient"));
    for (const [name, list] of [["Computed from", item.inputs], ["Used by", users[item.k]]]) if (list.length) out.push(...links(name, list, 40));
  }
  $("details").replaceChildren(...out);
}
function inColumns(rows) {
  const columns = rows[0].map((_, c) => padded(rows.map((line) => line[c])));
  return rows.map((_, r) => columns.map((column) => column[r]));
}
function padded(texts) {  // decimals under decimals
  const ends = texts.map((t) => /[^-.\d]/.test(t) ? -1 : t.length - t.search(/[.]|$/)), most = Math.max(...ends);
  return texts.map((t, k) => ends[k] < 0 || !most ? t : t + (ends[k] ? "" : "\u2008") + "\u2007".repeat(most - Math.max(ends[k], 1)));
}
function numbers(name, item, which) {
  const section = make("section", {class: which});
  let k = item[which];
  section.append(make("h3", {}, name));
  if (which === "gradient" && stepping && !gradientsKnown().has(item.k)) {
    const [got, all] = arrived(item.k);
    k = partly(item.k);
    section.append(make("p", {class: "about"}, all && got ? `${got} of ${all} contributions have arrived${k === undefined ? "." : "; their sum so far:"}` : "Not reached yet: step backward."));
    if (k === undefined) return section;
  }
  if (k === undefined) {
    const why = which === "value" ? "Not kept in this graph." : "No gradient arrives here.";
    section.append(make("p", {class: "about"}, data[which === "value" ? "has_values" : "has_gradients"] ? why : `Not recorded: draw with show=("${which}s",).`));
    return section;
  }
  const p = data.pictures[k];
  if (p.bad) section.append(make("p", {class: "bad"}, p.bad));
  if (p.text) section.append(make("p", {}, make("code", {}, minus(p.exact ? written(p) : p.text))));
  else {
    const img = make("img", {src: paintPicture(p), alt: `${name} of ${item.name} as an image: ${p.caption}`, width: Math.min(300, Math.max(p.w * Math.max(1, Math.floor(300 / p.w)), 60))});
    section.append(make("figure", {}, img, scale(p), make("figcaption", {}, p.caption)));
    if (p.grid) { const t = make("table", {class: "numbers"}); for (const line of inColumns(exact ? p.exact : p.grid)) t.append(make("tr", {}, ...line.map((v) => make("td", {}, minus(v))))); section.append(make("div", {class: "wide"}, t)); }
  }
  if (p.histogram) {
    const top = Math.max(...p.histogram), h = make("svg", {class: "hist", viewBox: `0 0 ${p.histogram.length} 20`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram from ${p.least} to ${p.most}`});
    p.histogram.forEach((n, b) => h.append(make("rect", {x: b + 0.06, width: 0.88, y: 20 - 20 * n / top, height: 20 * n / top})));
    section.append(h, make("div", {class: "bar"}, minus(p.least), make("span", {style: "flex:1;text-align:center"}, "histogram"), minus(p.most)));
  }
  const facts = ["smallest", "largest", "mean", "standard deviation", "norm", "zeros"];
  if (p.statistics) section.append(make("table", {class: "right"}, ...padded(p.statistics).map((b, k) => row(facts[k], minus(b)))));
  return section;
}
