// -------------------------------------------------------------------------------------------------------------- Drawing

const CROWD = 600;  // of so many things only those in view are drawn, and from afar no texts
const svg = $("graph"), ROUND = {input: 18, output: 18, operation: 8, module: 8, group: 8};
let drawn = [], byId = new Map(), view = {x: 0, y: 0, scale: 1}, scene = null, crowd = false, painted_ = null, ports = null;
let selected = null, matches = [], match = -1, turn = 0, things = [];

function draw() {  // done at once, or, if there is much to lay out, in slices that stop nobody
  if (!nodes.length) return Promise.resolve();  // a graph of nothing
  const mine = ++turn;
  things = showing();
  ranged(things);
  const [edges, visible, doors, lanes] = connect(), steps = layout(root, edges, lanes);
  crowd = things.length > CROWD || visible.length > 2 * CROWD;
  const finish = () => {
    (function place(box, x, y) {
      box.ax = x; box.ay = y;
      for (const child of kids(box)) {
        child.ax = x + child.x - (child.box && child.open ? child.left : child.w / 2); child.ay = y + child.y;
        if (child.box && child.open) place(child, child.ax, child.ay);
      }
    })(root, 0, 0);
    drawn = visible; ports = doors;
    const lane = new Map();
    for (const edge of drawn) if (edge.run) { edge.lane = lane.get(edge.run) || 0; lane.set(edge.run, edge.lane + 1); }
    paint();
    sketch();
    move();
    legend();
  };
  if (!crowd && visible.length < CROWD) { for (const _ of steps); finish(); return Promise.resolve(); }
  $("busy").hidden = false;
  return new Promise((done) => {
    const work = () => {
      if (mine !== turn) { done(); return; }
      for (const end = performance.now() + 30; performance.now() < end;)
        if (steps.next().done) { finish(); $("busy").hidden = true; done(); return; }
      setTimeout(work);
    };
    setTimeout(work);
  });
}
function far() { return 13 * view.scale < 9; }
function frameOfView(margin = 0.4) {  // the part of the scene that is in view, and something around it
  const w = svg.clientWidth / view.scale, h = svg.clientHeight / view.scale, x = -view.x / view.scale, y = -view.y / view.scale;
  return [x - margin * w, y - margin * h, x + (1 + margin) * w, y + (1 + margin) * h];
}
function paint() {
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : null;
  const bulk = crowd && far(), [x0, y0, x1, y1] = crowd && !bulk ? frameOfView() : [-Infinity, -Infinity, Infinity, Infinity];
  const near = (x, y, w, h) => x < x1 && x + w > x0 && y < y1 && y + h > y0;
  painted_ = crowd ? {bulk, near: [x0, y0, x1, y1]} : null;
  scene = make("g", {id: "scene"});
  byId = new Map();
  const cards = make("g"), titles = make("g", {class: "titles", "aria-hidden": "true"});
  for (const item of things) {
    if (bulk && !(item.box && item.open) || !near(item.ax, item.ay, item.w, item.h)) continue;
    if (item.box && item.open) {
      if (hiding(item)) continue;
      const odd = path(item).length % 2 ? "odd" : "";
      scene.append(frame(item, odd));
      titles.append(make("text", {class: odd, x: item.ax + 30, y: item.ay + 18, "font-size": 13}, title(item)));
    } else cards.append(paintCard(item));
  }
  if (bulk) scene.append(inBulk());
  for (const edge of drawn) {
    edge.path = null;
    const seen = [edge.from, edge.to].some((item) => near(item.ax, item.ay, item.w, item.h));
    if (bulk || !seen) continue;  // of a crowd's lines only those that begin or end here
    edge.path = make("path", {class: edge.run ? "edge round" : "edge", d: edge.run ? around(edge) : route(edge)});
    if (edge.run) edge.path.append(make("title", {}, `${nodes[edge.pairs[0][0]].name} goes round, to the next ${edge.run.round ? "iteration" : "block"}`));
    scene.append(edge.path, ...operand(edge));
  }
  scene.append(cards, titles, make("g", {id: "names", "aria-hidden": "true"}));
  const marker = (id, d) => make("marker", {id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse"}, make("path", {d}));
  svg.replaceChildren(make("defs", {}, ...["arrow", "arrow-back", "arrow-round"].map((id) => marker(id, "M0 0.6 L8 4 L0 7.4 z"))), scene);
  svg.classList.toggle("tinted", color !== "kind");
  if (focused && byId.has(focused)) byId.get(focused).focus({preventScroll: true});
  refresh();
}
function inBulk() {  // all cards of a look as one path
  const looks = new Map(), g = make("g", {class: "bulk"});
  for (const item of things) {
    if (item.box && item.open) continue;
    const key = `${kindOf(item)}|${fill(item) || ""}`;
    if (!looks.has(key)) looks.set(key, []);
    looks.get(key).push(`M${item.ax} ${item.ay}h${item.w}v${item.h}h${-item.w}z`);
  }
  const lines = drawn.map(({from, to}) => `M${from.ax + from.w / 2} ${from.ay + from.h}L${to.ax + to.w / 2} ${to.ay}`);
  g.append(make("path", {class: "edge plain", d: lines.join("")}));
  for (const [key, parts] of looks) {
    const [kind, colour] = key.split("|");
    g.append(make("g", {class: kind}, make("path", {class: "card", d: parts.join(""), style: colour ? `fill:${colour}` : undefined})));
  }
  return g;
}
function end(item, side, from, box) {
  if (item.port) return [box.ax + item.x, box.ay + item.y];
  if (item.box && item.open) { const p = ports.get(`${item.id} ${side} ${from.id}`); return [item.ax + p.x, item.ay + p.y]; }
  return [item.ax + item.w / 2, item.ay + (side === "out" ? item.h : 0)];
}
function route(edge) {
  const points = [];
  const [, only] = edge.parts[0];
  if (edge.parts.length === 1 && only.beside) {
    const a = edge.from, b = edge.to, x = a.ax, y = a.ay + a.h / 2, to = b.ax + b.w, ty = Math.max(b.ay + 6, Math.min(b.ay + b.h - 6, y));
    return `M${x} ${y} C${(x + to) / 2} ${y} ${(x + to) / 2} ${ty} ${to} ${ty}`;
  }
  for (const [box, link] of edge.parts) {
    points.push(end(link.from, "out", edge.from, box));
    for (const way of link.way || []) points.push([box.ax + way.x, box.ay + way.top], [box.ax + way.x, box.ay + way.bottom]);
    points.push(end(link.to, "in", edge.from, box));
  }
  let d = `M${points[0]}`;
  for (let k = 1; k < points.length; k++) {
    const [x, y] = points[k - 1], [X, Y] = points[k];
    d += Math.abs(x - X) < 0.5 ? `L${X} ${Y}` : `C${x} ${(y + Y) / 2} ${X} ${(y + Y) / 2} ${X} ${Y}`;
  }
  return d;
}
function operand({to, run, pairs, path, parts}) {  // which operand a line is, where that matters: beside its end, on its side
  const places = to.ordered && !run && !crowd ? to.inputs.flatMap((input, k) => k < to.ordered && pairs.some(([it, at]) => it === input && at === to.k) ? [k + 1] : []) : [];
  if (!places.length) return [];
  const long = path.getTotalLength(), end = path.getPointAtLength(long), at = path.getPointAtLength(Math.max(long - (places[0] > 2 ? 44 : 20), long / 2)), left = at.x < end.x - 1;
  const [x, y] = parts[0][1].beside ? [end.x + 8, end.y - 4] : [at.x + (left ? -4 : 4), Math.min(at.y + 9, end.y - 3)];
  return [make("text", {class: "small", x, y, "text-anchor": left ? "end" : "start", "font-size": 11}, places.join(", "))];
}
function around({from, to, run, lane}) {  // down from one, up along the box, and into the other from above
  const x = run.ax + run.w - 7 - LANE * (lane % 4), fx = from.ax + 0.75 * from.w, fy = from.ay + from.h, tx = to.ax + 0.75 * to.w, ty = to.ay;
  return `M${fx} ${fy}Q${fx} ${fy + 11} ${fx + 10} ${fy + 11}H${x - 8}Q${x} ${fy + 11} ${x} ${fy + 3}V${ty - 3}Q${x} ${ty - 11} ${x - 8} ${ty - 11}H${tx + 10}Q${tx} ${ty - 11} ${tx} ${ty}`;
}
function operable(g, item, label, expanded) {
  Object.entries({role: "button", tabindex: item === selected ? 0 : -1, "aria-label": label, "data-id": item.id,
    "data-node": item.box ? item.path : item.name}).forEach(([name, value]) => g.setAttribute(name, value));
  if (expanded !== undefined) g.setAttribute("aria-expanded", expanded);
  byId.set(item.id, g);
  return g;
}
function frame(box, odd) {
  const g = make("g", {class: `box ${odd}`},
    make("rect", {x: box.ax, y: box.ay, width: box.w, height: box.h, rx: 9}),
    make("rect", {class: "header", x: box.ax, y: box.ay, width: box.w, height: HEADER, rx: 9, fill: "transparent", stroke: "none"}),
    toggle(box));
  if (box.kind === "repeat") g.append(make("g", {class: "unfold"}, make("rect", {x: box.ax + box.w - 74, y: box.ay + 5, width: 66, height: 17, rx: 8}),
    make("text", {x: box.ax + box.w - 41, y: box.ay + 17.5, "text-anchor": "middle", "font-size": 11}, box.folded ? "show all" : "show one")));
  return operable(g, box, spoken(box), true);
}
function toggle(box) {
  const x = box.ax + (box.open ? 17 : box.w - 17), y = box.ay + (box.open ? 13.5 : 15);
  return make("g", {class: "toggle"}, make("circle", {cx: x, cy: y, r: 7.5}), make("path", {d: `M${x - 4} ${y}H${x + 4}` + (box.open ? "" : `M${x} ${y - 4}V${y + 4}`)}));
}
function kindOf(item) { return `${item.box ? "module" : item.kind}${item.order ? ` order${item.order}` : ""}${isDead(item) ? " dead" : ""}`; }
function paintCard(item) {
  const x = item.ax, y = item.ay, kind = item.box ? "module" : item.kind, round = Math.min(ROUND[kind] || 1, item.h / 2), style = fill(item) ? `fill:${fill(item)}` : undefined;
  const g = make("g", {class: `node ${kindOf(item)}`});
  if (item.box || kind === "module" || kind === "group") g.append(make("rect", {class: "card under", x: x + 4, y: y + 4, width: item.w, height: item.h, rx: round}));
  g.append(make("rect", {class: "card", x, y, width: item.w, height: item.h, rx: round, style}));
  const tw = item.w - item.thumbs.length * (THUMB + 6), name = item.box ? item.name + (item.kind === "repeat" ? ` ×${many(item.blocks.length)}` : "") : item.label;
  const cx = x + (item.thumbs.length ? tw / 2 + 2 : item.w / 2 - (item.box ? 9 : 0));
  let ty = y + (item.h - 15 - 14 * item.lines.length) / 2 + 12;
  g.append(make("text", {class: "name", x: cx, y: ty, "text-anchor": "middle", "font-size": 13, "font-weight": 600}, name));
  for (const [line, look] of item.lines) g.append(" ", make("text", {class: look, x: cx, y: ty += 14, "text-anchor": "middle", "font-size": 11}, line));
  item.thumbs.forEach((which, k) => {
    const at = x + item.w - (item.thumbs.length - k) * (THUMB + 6), top = y + (item.h - THUMB) / 2;
    const p = data.pictures[item[which]], fit = Math.min(THUMB / p.w, THUMB / p.h), w = Math.max(p.w * fit, 3), h = Math.max(p.h * fit, 3);
    g.append(make("rect", {class: "slot", x: at, y: top, width: THUMB, height: THUMB, rx: 2}),
      make("g", {class: which === "gradient" ? "thumbs late" : "thumbs"},
        make("image", {class: "thumb", href: paintPicture(p), x: at + (THUMB - w) / 2, y: top + (THUMB - h) / 2, width: w, height: h, preserveAspectRatio: "none"}),
        make("rect", {class: which === "gradient" ? "frame grad" : "frame", x: at, y: top, width: THUMB, height: THUMB, rx: 2})));
  });
  if (item.box) g.append(toggle(item));
  return operable(g, item, spoken(item), item.box ? false : undefined);
}
