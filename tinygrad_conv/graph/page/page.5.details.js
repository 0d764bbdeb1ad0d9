// --------------------------------------------------------------------------------------------- Selection and the details

function select(item, bring = true) {
  selected = item;
  if (bring && item && shownAs(item) !== item) { for (const box of path(item)) box.open = true; draw(); }
  refresh();
  if (!item) return;
  if (bring) reveal(item);
  details(item);
}
function refresh() {
  const found = new Set(matches.map((node) => shownAs(node).id)), chosen = selected && shownAs(selected).id;
  const reached = new Map(), now = at >= 0 ? data.steps[at] : -1;
  for (let k = 0; k <= at; k++) for (const item of [data.steps[k], ...nodes[data.steps[k]].inputs]) reached.set(shownAs(nodes[item]).id, true);
  const filled = gradientsKnown();
  for (const [id, g] of byId) {
    g.classList.toggle("selected", id === chosen);
    g.setAttribute("tabindex", id === chosen || (!chosen && id === (shownAs(nodes[0]) || {}).id) ? 0 : -1);
    g.classList.toggle("match", found.has(id));
    g.classList.toggle("dim", matches.length > 0 && !found.has(id) && !g.classList.contains("box"));
    g.classList.toggle("reached", stepping && reached.has(id));
    g.classList.toggle("current", now >= 0 && shownAs(nodes[now]).id === id);
    const late = g.querySelector(".late");
    if (late) late.style.display = !stepping || filled.has(+id.slice(1)) ? "" : "none";
  }
  for (const edge of drawn) {
    const done = stepping && edge.pairs.some(([, user]) => data.steps.indexOf(user) >= 0 && data.steps.indexOf(user) <= at);
    edge.path.classList.toggle("flowed", done);
    edge.path.classList.toggle("flowing", now >= 0 && edge.pairs.some(([, user]) => user === now));
    edge.path.classList.toggle("lit", edge.from.id === chosen || edge.to.id === chosen);
  }
}
function row(name, ...values) { return make("tr", {}, make("th", {scope: "row"}, name), make("td", {}, ...values)); }
function linkTo(k) { const b = make("button", {}, nodes[k].name); b.onclick = () => { select(nodes[k]); focus(nodes[k]); }; return b; }

function details(item) {
  const out = [make("h2", {}, item.box ? item.name : item.name)];
  if (item.box) {
    out.push(make("p", {class: "about"}, `module ${item.kind}`.trim()));
    const t = make("table", {}, row("path", item.path || "(the model)"), row("nodes", item.size.toLocaleString("en")));
    if (item.n_params) t.append(row("parameters", item.n_params.toLocaleString("en")));
    const b = make("button", {}, item.open ? "Close this module" : "Open this module");
    b.onclick = () => { swing(item); };
    const inside = make("div", {class: "links"});
    const all = nodes.flatMap((node, k) => path(node).includes(item) ? [k] : []);
    for (const k of all.slice(0, 60)) inside.append(linkTo(k), " ");
    out.push(t, make("p", {}, b), make("h3", {}, "Inside"), inside);
  } else {
    const what = {operation: item.op ? `operation ${item.op}` : "operation"}[item.kind] || item.kind;
    out.push(make("p", {class: "about"}, item.module ? `${what} in ${item.module}` : what));
    const t = make("table");
    for (const [name, value] of [["shape", item.shape], ["dtype", item.dtype], ...(item.params || []), ["parameters", item.n_params && item.n_params.toLocaleString("en")],
      ["FLOPs", item.flops && item.flops.toLocaleString("en")], ["bytes", item.bytes && item.bytes.toLocaleString("en")], ["time", item.time]]) if (value) t.append(row(name, value));
    out.push(t);
    if (item.source) out.push(make("h3", {}, "Source line"), make("code", {}, item.source));
    if (item.op && data.formulas[item.op]) out.push(make("h3", {}, "Derivative"), make("p", {class: "formula"}, data.formulas[item.op]));
    out.push(numbers("Value", item, "value"));
    if (data.has_gradients || stepping) out.push(numbers("Gradient", item, "gradient"));
    for (const [name, list] of [["Computed from", item.inputs], ["Used by", users[nodes.indexOf(item)]]])
      if (list.length) { const div = make("div", {class: "links"}); for (const k of [...new Set(list)].slice(0, 40)) div.append(linkTo(k), " "); out.push(make("h3", {}, name), div); }
  }
  $("details").replaceChildren(...out);
}
function numbers(name, item, which) {
  const section = make("section", {class: which}), index = nodes.indexOf(item);
  let k = item[which];
  section.append(make("h3", {}, name));
  if (which === "gradient" && stepping && !gradientsKnown().has(index)) {
    const [got, all] = arrived(index);
    [, k] = (item.arrivals || []).filter(([user]) => stepOf.get(user) <= at).pop() || [];
    const partly = `${got} of ${all} contributions have arrived${k === undefined ? "." : "; their sum so far:"}`;
    section.append(make("p", {class: "about"}, all && got ? partly : "Not reached yet: step backward."));
    if (k === undefined) return section;
  }
  if (k === undefined) {
    const why = which === "value" ? "Not kept in this graph." : "No gradient arrives here.";
    section.append(make("p", {class: "about"}, data[which === "value" ? "has_values" : "has_gradients"] ? why : `Not recorded: draw with show=("${which}s",).`));
    return section;
  }
  const p = data.pictures[k];
  if (p.bad) section.append(make("p", {class: "bad"}, p.bad));
  if (p.text) section.append(make("p", {}, make("code", {}, p.text)));
  else {
    const img = make("img", {src: paintPicture(p), alt: `${name} of ${item.name} as an image: ${p.caption}`, width: Math.min(300, Math.max(p.w * Math.max(1, Math.floor(300 / p.w)), 60))});
    section.append(make("figure", {}, img, scale(p), make("figcaption", {}, p.caption)));
    if (p.grid) { const t = make("table", {class: "numbers"}); for (const line of p.grid) t.append(make("tr", {}, ...line.map((v) => make("td", {}, v)))); section.append(make("div", {class: "wide"}, t)); }
  }
  if (p.histogram) {
    const top = Math.max(...p.histogram), h = make("svg", {class: "hist", viewBox: `0 0 ${p.histogram.length} 20`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram from ${p.least} to ${p.most}`});
    p.histogram.forEach((n, b) => h.append(make("rect", {x: b + 0.06, width: 0.88, y: 20 - 20 * n / top, height: 20 * n / top})));
    section.append(h, make("div", {class: "bar"}, p.least, make("span", {style: "flex:1;text-align:center"}, "histogram"), p.most));
  }
  if (p.statistics) section.append(make("table", {}, ...p.statistics.map(([a, b]) => row(a, b))));
  return section;
}

