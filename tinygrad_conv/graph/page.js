"use strict";
// The page of a graph: layout, pan and zoom, search, details, and the backward pass one operation at a time.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MOST = 120;  // children that one box shows; more are put into boxes of consecutive ones
const nodes = data.nodes;

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "path", "text", "image", "title", "circle", "defs", "marker", "line"].includes(tag);
  const it = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) it.setAttribute(name, value);
  it.append(...children);
  return it;
}

// ---------------------------------------------------------------------------------------------------- The tree of boxes

const root = {path: "", name: "", children: [], parent: null, open: true, depth: 0};
const boxes = new Map([["", root]]);
const users = nodes.map(() => []);

function home(path) {
  while (path && !boxes.has(path)) path = path.slice(0, Math.max(0, path.lastIndexOf(".")));
  return boxes.get(path);
}
for (const module of data.modules)
  boxes.set(module.path, {kind: "", n_params: 0, ...module, id: "m:" + module.path, box: true, children: [], open: false, size: 0});
for (const box of boxes.values())
  if (box !== root) {
    box.parent = home(box.path.slice(0, Math.max(0, box.path.lastIndexOf("."))));
    box.name = box.label || box.path.slice(box.parent.path ? box.parent.path.length + 1 : 0);
  }
const listed = new Set();
nodes.forEach((node, k) => {
  node.id = "n" + k;
  node.parent = home(node.module);
  for (const input of node.inputs) users[input].push(k);
  let item = node;
  for (; item !== root && !listed.has(item); item = item.parent) { listed.add(item); item.parent.children.push(item); }
  for (let box = node.parent; box; box = box.parent) box.size = (box.size || 0) + 1;
});
(function unbox(box) {  // one node needs no box: it says the module's name
  box.children = box.children.map((child) => {
    if (!child.box) return child;
    unbox(child);
    const [only] = child.children;
    if (child.children.length > 1 || only.box) return child;
    only.alone = [child.name, child.kind].filter(Boolean).join(" ");
    only.parent = box;
    boxes.delete(child.path);
    return only;
  });
})(root);
(function split(box) {  // more children than anybody can read: boxes of consecutive ones
  if (box.children.length > MOST) {
    const per = Math.ceil(box.children.length / Math.ceil(box.children.length / Math.min(MOST, Math.ceil(Math.sqrt(box.children.length)))));
    const all = box.children;
    box.children = [];
    for (let k = 0; k < all.length; k += per) {
      const part = all.slice(k, k + per);
      const group = {path: `${box.path}#${k}`, id: `m:${box.path}#${k}`, box: true, kind: "", n_params: 0, parent: box,
        name: `nodes ${k + 1} to ${k + part.length}`, children: part, open: false, size: 0};
      for (const child of part) { child.parent = group; group.size += child.box ? child.size : 1; }
      boxes.set(group.path, group);
      box.children.push(group);
    }
    if (box.children.length > MOST) split(box);
  }
  for (const child of box.children) { child.depth = box.depth + 1; if (child.box) split(child); }
})(root);

{ // Open what fits, from the outside in.
  let shown = root.children.length;
  const queue = [...root.children];
  while (queue.length) {
    const box = queue.shift();
    const gradient = box.path && box.path.startsWith("∇") && box.size > 30;  // a world of its own, on request
    if (!box.box || gradient || shown + box.children.length > MOST) continue;
    box.open = true;
    shown += box.children.length;
    queue.push(...box.children);
  }
}

function path(item) { const up = []; for (let box = item.parent; box; box = box.parent) up.unshift(box); return up; }
function shownAs(item) { return path(item).find((box) => !box.open) || item; }  // itself, or the closed box it is in

// --------------------------------------------------------------------------------------------------------------- Layout
// Each open box is laid out by itself, inner ones first: rows by longest path, order by barycentres, places by least
// squares. An edge that enters or leaves a box does so through a port on its border.

const GAP_X = 26, GAP_Y = 34, PAD = 14, HEADER = 26, THUMB = 38;
const measure = document.createElement("canvas").getContext("2d");
function width(text, font) { measure.font = font; return measure.measureText(text).width; }
const BOLD = "600 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif", SMALL = BOLD.replace("600 13px", "11px");

function lines(item) {
  if (item.box) return [item.kind, item.n_params ? count(item.n_params, "param") : "", count(item.size, "node")].filter(Boolean);
  const scalar = item.value !== undefined && data.pictures[item.value].text;
  return [item.alone, item.options, scalar ? `${item.shape} ${scalar}` : item.shape, item.note].filter(Boolean).map((s) => s.length > 40 ? s.slice(0, 39) + "…" : s);
}
function count(n, unit) { return `${n.toLocaleString("en")} ${unit}${n === 1 ? "" : "s"}`; }
function picture(item, which) { const k = item[which]; return k === undefined || data.pictures[k].text ? null : data.pictures[k]; }
function card(item) {
  item.lines = lines(item);
  const name = item.box ? item.name : item.label;
  const text = Math.max(width(name, BOLD), ...item.lines.map((line) => width(line, SMALL))) + 20 + (item.box ? 26 : 0);
  item.slots = (picture(item, "value") ? 1 : 0) + (picture(item, "gradient") ? 1 : 0);
  item.w = Math.ceil(Math.max(52, text) + item.slots * (THUMB + 6));
  item.h = Math.max(24 + 14 * item.lines.length + (item.lines.length ? 4 : 2), item.slots ? THUMB + 12 : 0);
  item.left = item.right = item.w / 2;
}

function layout(box, edges) {
  const items = box.children.map((child) => { if (child.box && child.open) layout(child, edges); else card(child); return child; });
  const links = [...(edges.get(box) || new Map()).values()];
  const beside = sides(items, links);
  const ports = [...new Map(links.flatMap((link) => [link.from, link.to]).filter((end) => end.port).map((end) => [end.id, end])).values()];
  for (const port of ports) Object.assign(port, {w: 8, h: 0, left: 4, right: 4});
  const placed = [...ports.filter((p) => p.port === "in"), ...items.filter((item) => !beside.has(item)), ...ports.filter((p) => p.port === "out")];
  for (const item of placed) {
    item.column = [...beside].filter(([, user]) => user === item).map(([side]) => side);
    if (!item.column.length) { item.tall = item.h; continue; }
    item.right = item.w / 2 + GAP_X + Math.max(...item.column.map((side) => side.w));
    item.tall = Math.max(item.h, item.column.reduce((sum, side) => sum + side.h + 8, -8));
  }
  const rows = arrange(placed, links.filter((link) => !beside.has(link.from)));
  let y = box === root ? 0 : HEADER + 12;
  rows.forEach((row) => {
    const h = Math.max(0, ...row.map((item) => item.tall || 0));
    for (const item of row) { item.y = y + (h - (item.h || 0)) / 2; item.top = y; item.bottom = y + h; }
    y += h ? h + GAP_Y : 0;
  });
  y -= GAP_Y;
  const all = rows.flat();
  const low = Math.min(...all.map((item) => item.x - item.left)), high = Math.max(...all.map((item) => item.x + item.right));
  const inset = box === root ? 0 : PAD;
  const header = box === root ? 0 : width(title(box), BOLD) + 54;
  for (const item of all) item.x += inset - low;
  box.w = Math.ceil(Math.max(high - low + 2 * inset, header));
  box.h = Math.ceil(y + (box === root ? 0 : PAD));
  const main = ports.find((p) => p.port === "in") || ports[0];
  box.left = main ? main.x : box.w / 2;  // where it hangs: its main edge is straight
  box.right = box.w - box.left;
  for (const port of ports) { if (port.port === "in") port.y = 0; else port.y = box.h; }
  for (const item of placed) {
    let at = item.y + item.h / 2 - (item.column.reduce((sum, side) => sum + side.h + 8, -8)) / 2;
    for (const side of item.column) { side.x = item.x + item.w / 2 + GAP_X + side.w / 2; side.y = at; at += side.h + 8; }
  }
  for (const link of links) link.beside = beside.get(link.from) === link.to;
}
function title(box) { return `${box.name} ${box.kind} ${box.repeat ? `× ${box.repeat}` : ""}`.trim(); }

function sides(items, links) {  // a parameter or constant stands beside the operation that alone uses it
  const found = new Map();
  for (const item of items)
    if (!item.box && (item.kind === "parameter" || item.kind === "constant")) {
      const to = new Set(links.filter((link) => link.from === item).map((link) => link.to));
      const [user] = to;
      if (to.size === 1 && !user.box && !user.port) found.set(item, user);
    }
  return found;
}

function arrange(items, links) {  // rows of items and of waypoints, with x; a waypoint keeps an edge clear of a row
  const after = new Map(items.map((item) => [item, []])), before = new Map(items.map((item) => [item, []]));
  const state = new Map();
  const order = [];
  for (const link of links) after.get(link.from).push(link.to);
  for (const start of items) {  // depth first without recursion; an edge back to an open ancestor is left out
    const stack = state.has(start) ? [] : [[start, 0]];
    if (stack.length) state.set(start, 1);
    while (stack.length) {
      const top = stack[stack.length - 1], next = after.get(top[0])[top[1]++];
      if (next === undefined) { order.unshift(top[0]); state.set(top[0], 2); stack.pop(); }
      else if (!state.has(next)) { state.set(next, 1); stack.push([next, 0]); }
    }
  }
  const index = new Map(order.map((item, k) => [item, k]));
  const forward = links.filter((link) => index.get(link.from) < index.get(link.to));
  for (const link of forward) before.get(link.to).push(link.from);
  const rank = new Map();
  for (const item of order) rank.set(item, item.port === "in" ? 0 : Math.max(-1, ...before.get(item).map((b) => rank.get(b))) + 1);
  const floor = items.some((item) => item.port === "in") ? 1 : 0;
  for (const item of order) if (item.port !== "in" && rank.get(item) < floor) rank.set(item, floor);
  for (const item of order) for (const b of before.get(item)) if (rank.get(item) <= rank.get(b)) rank.set(item, rank.get(b) + 1);
  for (const item of [...order].reverse())  // what nothing leads to goes next to its first user
    if (!before.get(item).length && !item.port) {
      const next = forward.filter((link) => link.from === item).map((link) => rank.get(link.to));
      if (next.length) rank.set(item, Math.max(floor, Math.min(...next) - 1));
    }
  const last = Math.max(0, ...items.filter((item) => item.port !== "out").map((item) => rank.get(item)));
  for (const item of items) if (item.port === "out") rank.set(item, last + 1);
  const rows = [];
  const put = (item, r) => { (rows[r] = rows[r] || []).push(item); };
  for (const item of items) put(item, rank.get(item));
  const near = new Map();
  const join = (a, b) => { for (const [p, q] of [[a, b], [b, a]]) { if (!near.has(p)) near.set(p, []); near.get(p).push(q); } };
  for (const link of links) link.way = [];
  const ways = new Map();  // edges from the same item share their waypoints
  for (const link of forward) {
    let from = link.from;
    for (let r = rank.get(link.from) + 1; r < rank.get(link.to); r++) {
      const key = `${link.from.id} ${r}`;
      let way = ways.get(key);
      if (!way) { way = {way: true, w: 10, h: 0, left: 7, right: 7, rank: r}; ways.set(key, way); rank.set(way, r); put(way, r); join(from, way); }
      link.way.push(way);
      from = way;
    }
    join(from, link.to);
  }
  for (let r = 0; r <= last + 1; r++) rows[r] = rows[r] || [];
  while (rows.length && !rows[rows.length - 1].length) rows.pop();
  const mean = (item, r) => {
    const found = (near.get(item) || []).filter((other) => r === undefined || rank.get(other) === r);
    const weight = (other) => !item.way === !other.way ? 8 : 1;  // the main line is straight, and so are long edges
    const all = found.reduce((sum, other) => sum + weight(other), 0);
    return all ? found.reduce((sum, other) => sum + weight(other) * (r === undefined ? other.x : other.slot), 0) / all : null;
  };
  rows.forEach((row) => row.forEach((item, k) => { item.slot = k; }));
  for (let sweep = 0; sweep < 8; sweep++) {
    const down = sweep % 2 === 0;
    for (let k = 1; k < rows.length; k++) {
      const r = down ? k : rows.length - 1 - k;
      for (const item of rows[r]) { const m = mean(item, down ? r - 1 : r + 1); item.key = m === null ? item.slot : m; }
      rows[r].sort((a, b) => a.key - b.key || a.slot - b.slot).forEach((item, slot) => { item.slot = slot; });
    }
  }
  for (const row of rows) { let x = 0; for (const item of row) { item.x = x + item.left; x += item.left + item.right + GAP_X; } }
  for (const row of rows) { const middle = row.length ? (row[0].x + row[row.length - 1].x) / 2 : 0; for (const item of row) item.x -= middle; }
  for (let sweep = 0, most = Math.min(120, 30000 / items.length); sweep < most; sweep++)
    for (let k = 0; k < rows.length; k++) settle(rows[sweep % 2 ? rows.length - 1 - k : k], mean);
  return rows;
}
function settle(row, mean) {  // places nearest to those wished for that keep the order and the gaps
  const blocks = [];
  let offset = 0;
  row.forEach((item, k) => {
    if (k) offset += row[k - 1].right + item.left + (item.way && row[k - 1].way ? 4 : GAP_X);
    const wish = mean(item);
    const weight = wish === null ? 0.01 : item.way ? 2 : 1;
    let block = {items: [[item, offset]], sum: ((wish === null ? item.x : wish) - offset) * weight, n: weight};
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].n >= block.sum / block.n) {
      const other = blocks.pop();
      block = {items: [...other.items, ...block.items], sum: other.sum + block.sum, n: other.n + block.n};
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const [item, at] of block.items) item.x = block.sum / block.n + at;
}

function connect() {  // visible edges, and for each open box the links between its children and ports
  const edges = new Map(), seen = new Map();
  const ports = new Map();
  const port = (box, side, item) => {
    const id = `${box.id} ${side} ${item.id}`;
    if (!ports.has(id)) ports.set(id, {id, port: side});
    return ports.get(id);
  };
  const link = (box, from, to) => {
    if (!edges.has(box)) edges.set(box, new Map());
    const key = `${from.id} ${to.id}`;
    if (!edges.get(box).has(key)) edges.get(box).set(key, {from, to});
    return edges.get(box).get(key);
  };
  nodes.forEach((node, k) => node.inputs.forEach((input) => {
    const from = shownAs(nodes[input]), to = shownAs(node);
    if (from === to) return;
    const key = `${from.id} ${to.id}`;
    if (seen.has(key)) { seen.get(key).pairs.push([input, k]); return; }
    const up = path(from), down = path(to);
    let depth = 0;
    while (depth + 1 < up.length && depth + 1 < down.length && up[depth + 1] === down[depth + 1]) depth++;
    const parts = [];
    let at = from;
    for (let d = up.length - 1; d > depth; d--) { parts.push([up[d], link(up[d], at, port(up[d], "out", from))]); at = up[d]; }
    const inner = down[depth + 1] || to;
    parts.push([up[depth], link(up[depth], at, inner)]);
    for (let d = depth + 1; d < down.length; d++) parts.push([down[d], link(down[d], port(down[d], "in", from), down[d + 1] || to)]);
    seen.set(key, {from, to, parts, pairs: [[input, k]], key});
  }));
  return [edges, [...seen.values()], ports];
}

// -------------------------------------------------------------------------------------------------------------- Drawing

const svg = $("graph");
let drawn = [], byId = new Map(), view = {x: 0, y: 0, scale: 1}, scene = null;
let selected = null, matches = [], match = -1;

function draw() {
  const [edges, visible, ports] = connect();
  layout(root, edges);
  (function place(box, x, y) {
    box.ax = x; box.ay = y;
    for (const child of box.children) {
      child.ax = x + child.x - (child.box && child.open ? child.left : child.w / 2); child.ay = y + child.y;
      if (child.box && child.open) place(child, child.ax, child.ay);
    }
  })(root, 0, 0);
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : null;
  scene = make("g", {id: "scene"});
  byId = new Map();
  const cards = make("g"), titles = make("g", {class: "titles", "aria-hidden": "true"});
  const paint = (box) => {
    for (const child of box.children) {
      if (child.box && child.open) {
        scene.append(frame(child));
        titles.append(make("text", {class: child.depth % 2 ? "odd" : "", x: child.ax + 30, y: child.ay + 18, "font-size": 13}, title(child)));
        paint(child);
      } else cards.append(paintCard(child));
    }
  };
  paint(root);
  drawn = visible;
  for (const edge of drawn) { edge.path = make("path", {class: "edge", d: route(edge, ports), "marker-end": "url(#arrow)"}); scene.append(edge.path); }
  scene.append(cards, titles);
  svg.replaceChildren(make("defs", {}, make("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto"}, make("path", {d: "M0 0.6 L8 4 L0 7.4 z"}))), scene);
  if (focused && byId.has(focused)) byId.get(focused).focus({preventScroll: true});
  move();
  refresh();
}
function end(item, side, from, ports, box) {
  if (item.port) return [box.ax + item.x, box.ay + item.y];
  if (item.box && item.open) { const p = ports.get(`${item.id} ${side} ${from.id}`); return [item.ax + p.x, item.ay + p.y]; }
  return [item.ax + item.w / 2, item.ay + (side === "out" ? item.h : 0)];
}
function route(edge, ports) {
  const points = [];
  const [, only] = edge.parts[0];
  if (edge.parts.length === 1 && only.beside) {
    const a = edge.from, b = edge.to, x = a.ax, y = a.ay + a.h / 2, to = b.ax + b.w, ty = Math.max(b.ay + 6, Math.min(b.ay + b.h - 6, y));
    return `M${x} ${y} C${(x + to) / 2} ${y} ${(x + to) / 2} ${ty} ${to} ${ty}`;
  }
  for (const [box, link] of edge.parts) {
    points.push(end(link.from, "out", edge.from, ports, box));
    for (const way of link.way || []) points.push([box.ax + way.x, box.ay + way.top], [box.ax + way.x, box.ay + way.bottom]);
    points.push(end(link.to, "in", edge.from, ports, box));
  }
  let d = `M${points[0]}`;
  for (let k = 1; k < points.length; k++) {
    const [x, y] = points[k - 1], [X, Y] = points[k];
    d += Math.abs(x - X) < 0.5 ? `L${X} ${Y}` : `C${x} ${(y + Y) / 2} ${X} ${(y + Y) / 2} ${X} ${Y}`;
  }
  return d;
}
function operable(g, item, label, expanded) {
  Object.entries({role: "button", tabindex: item === selected ? 0 : -1, "aria-label": label, "data-id": item.id,
    "data-node": item.box ? item.path : item.name}).forEach(([name, value]) => g.setAttribute(name, value));
  if (expanded !== undefined) g.setAttribute("aria-expanded", expanded);
  byId.set(item.id, g);
  return g;
}
function spoken(item) {
  const seen = [item.box ? item.name : item.label, ...lines(item)].join(" ");  // what is written on it comes first
  return item.box ? `${seen}, module` : [seen, item.name, item.kind, item.module && `in ${item.module}`].filter(Boolean).join(", ");
}
function frame(box) {
  const g = make("g", {class: `box ${box.depth % 2 ? "odd" : ""}`},
    make("rect", {x: box.ax, y: box.ay, width: box.w, height: box.h, rx: 9}),
    make("rect", {class: "header", x: box.ax, y: box.ay, width: box.w, height: HEADER, rx: 9, fill: "transparent", stroke: "none"}),
    toggle(box));
  return operable(g, box, spoken(box), true);
}
function toggle(box) {
  const x = box.ax + (box.open ? 17 : box.w - 17), y = box.ay + (box.open ? 13.5 : 15);
  return make("g", {class: "toggle"}, make("circle", {cx: x, cy: y, r: 7.5}), make("path", {d: `M${x - 4} ${y}H${x + 4}` + (box.open ? "" : `M${x} ${y - 4}V${y + 4}`)}));
}
function paintCard(item) {
  const x = item.ax, y = item.ay, kind = item.box ? "module" : item.kind;
  const round = {input: item.h / 2, output: item.h / 2, operation: 8, module: 8, group: 8}[kind] || 1;
  const g = make("g", {class: `node ${kind}`});
  if (item.box || kind === "module" || kind === "group") g.append(make("rect", {class: "card", x: x + 4, y: y + 4, width: item.w, height: item.h, rx: round}));
  g.append(make("rect", {class: "card", x, y, width: item.w, height: item.h, rx: Math.min(round, 18)}));
  const tw = item.w - item.slots * (THUMB + 6), name = item.box ? item.name : item.label;
  const cx = x + (item.slots ? tw / 2 + 2 : item.w / 2 - (item.box ? 9 : 0));
  let ty = y + (item.h - 15 - 14 * item.lines.length) / 2 + 12;
  g.append(make("text", {x: cx, y: ty, "text-anchor": "middle", "font-size": 13, "font-weight": 600}, name));
  for (const line of item.lines) g.append(" ", make("text", {class: "small", x: cx, y: ty += 14, "text-anchor": "middle", "font-size": 11}, line));
  ["value", "gradient"].filter((which) => picture(item, which)).forEach((which, k, both) => {
    const at = x + item.w - (both.length - k) * (THUMB + 6), top = y + (item.h - THUMB) / 2;
    const p = picture(item, which), fit = Math.min(THUMB / p.w, THUMB / p.h), w = Math.max(p.w * fit, 3), h = Math.max(p.h * fit, 3);
    g.append(make("rect", {class: "slot", x: at, y: top, width: THUMB, height: THUMB, rx: 2}),
      make("g", {class: which === "gradient" ? "thumbs late" : "thumbs"},
        make("image", {class: "thumb", href: paintPicture(p), x: at + (THUMB - w) / 2, y: top + (THUMB - h) / 2, width: w, height: h, preserveAspectRatio: "none"}),
        make("rect", {class: which === "gradient" ? "frame grad" : "frame", x: at, y: top, width: THUMB, height: THUMB, rx: 2})));
  });
  if (item.box) g.append(toggle(item));
  return operable(g, item, spoken(item), item.box ? false : undefined);
}

// Pictures: 8-bit values with a scale, drawn in colours that colour-blind eyes tell apart: blue below 0, red-brown above.
function colour(p, code) {
  if (code === 255) return [0, 0, 0, 0];
  if (code === 254) return [220, 0, 160, 255];  // NaN or infinite
  const t = code / 253;
  const mix = (a, b, f) => a.map((v, k) => Math.round(v + (b[k] - v) * f));
  if (p.signed) {
    const u = 2 * t - 1;
    return [...(u < 0 ? mix([247, 247, 247], u < -0.5 ? [33, 102, 172] : [103, 169, 207], u < -0.5 ? 1 : -2 * u) : mix([247, 247, 247], [239, 138, 98], Math.min(1, 2 * u))), 255].map((v, k) => {
      if (k === 3) return 255;
      const far = u < -0.5 ? mix([103, 169, 207], [33, 102, 172], -2 * u - 1) : u > 0.5 ? mix([239, 138, 98], [178, 24, 43], 2 * u - 1) : null;
      return far ? far[k] : v;
    });
  }
  return [...mix([12, 12, 24], [252, 252, 244], t), 255];
}
function paintPicture(p) {
  if (p.url) return p.url;
  const canvas = document.createElement("canvas");
  canvas.width = p.w; canvas.height = p.h;
  const context = canvas.getContext("2d"), image = context.createImageData(p.w, p.h), codes = atob(p.codes);
  for (let k = 0; k < codes.length; k++) image.data.set(colour(p, codes.charCodeAt(k)), 4 * k);
  context.putImageData(image, 0, 0);
  return p.url = canvas.toDataURL();
}
function scale(p) {
  if (!p.bar) {
    const canvas = document.createElement("canvas");
    canvas.width = 127; canvas.height = 1;
    const context = canvas.getContext("2d"), image = context.createImageData(127, 1);
    for (let k = 0; k < 127; k++) image.data.set(colour(p, 2 * k), 4 * k);
    context.putImageData(image, 0, 0);
    p.bar = canvas.toDataURL();
  }
  return make("div", {class: "bar"}, p.low, make("img", {src: p.bar, alt: `colours from ${p.low} to ${p.high}`}), p.high);
}

// --------------------------------------------------------------------------------------------------------- Pan and zoom

function move() { if (scene) scene.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`); }
function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
  const scale = Math.max(0.02, Math.min(6, view.scale * factor)), f = scale / view.scale;
  view = {x: x - (x - view.x) * f, y: y - (y - view.y) * f, scale};
  move();
}
function fit() {
  const w = svg.clientWidth, h = svg.clientHeight - 50;
  const scale = Math.min(1.6, Math.max(0.02, Math.min((w - 40) / root.w, (h - 30) / root.h)));
  view = {scale, x: (w - root.w * scale) / 2, y: Math.max(14, (h - root.h * scale) / 2)};
  move();
}
function start() {  // the whole graph if it can be read so, else its top in readable size
  fit();
  if (view.scale < 0.55) { view.scale = Math.min(0.9, Math.max(0.55, (svg.clientWidth - 40) / root.w)); view.y = 18; centre(shownAs(nodes[0])); }
}
function centre(item) {  // across: the graph if it fits, else the item
  const room = svg.clientWidth, wide = root.w * view.scale, x = room / 2 - (item.ax + item.w / 2) * view.scale;
  view.x = wide < room - 36 ? (room - wide) / 2 : Math.min(18, Math.max(room - 18 - wide, x));
  move();
}
function reveal(item) {
  const it = shownAs(item), x = view.x + (it.ax + it.w / 2) * view.scale, y = view.y + (it.ay + Math.min(it.h, 80) / 2) * view.scale;
  const w = svg.clientWidth, h = svg.clientHeight;
  if (x < 90 || x > w - 90) view.x += w / 2 - x;
  if (y < 60 || y > h - 90) view.y += h / 2 - y;
  move();
}
const pointers = new Map();
let dragged = false;
svg.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.offsetX, event.offsetY); }, {passive: false});
svg.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, event); dragged = false; });
window.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  if (!dragged && Math.hypot(dx, dy) < 4) return;
  dragged = true;
  svg.classList.add("moving");
  if (pointers.size === 2) {
    const other = [...pointers.values()].find((p) => p.pointerId !== event.pointerId), box = svg.getBoundingClientRect();
    const far = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
    zoom(far(event) / Math.max(1, far(before)), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  } else { view.x += dx; view.y += dy; move(); }
  pointers.set(event.pointerId, event);
});
for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, (event) => { pointers.delete(event.pointerId); svg.classList.remove("moving"); });
const itemAt = (event) => { const g = event.target.closest("[data-id]"); return g ? (g.dataset.id[0] === "n" ? nodes[+g.dataset.id.slice(1)] : boxes.get(g.dataset.id.slice(2))) : null; };
svg.addEventListener("click", (event) => {
  if (dragged) return;
  const item = itemAt(event);
  if (item && item.box && event.target.closest(".toggle")) swing(item);
  else if (item) select(item);
});
svg.addEventListener("dblclick", (event) => { const item = itemAt(event); if (item && item.box) swing(item); });

function swing(box, open = !box.open) {  // open or close, with the box's corner staying where it is
  const x = box.ax, y = box.ay;
  box.open = open;
  draw();
  view.x += (x - box.ax) * view.scale; view.y += (y - box.ay) * view.scale;
  move();
  select(box, false);
}

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

// --------------------------------------------------------------------------------------------------------------- Search

const haystacks = nodes.map((node) => [node.name, node.label, node.op, node.shape, node.options, node.source, node.module, node.kind].join(" ").toLowerCase());
function search(text) {
  const words = text.toLowerCase().match(/\([^)]*\)?|\S+/g) || [];
  matches = words.length ? nodes.filter((_, k) => words.every((word) => haystacks[k].includes(word))) : [];
  match = -1;
  $("found").textContent = words.length ? `${matches.length} found` : "";
  const list = $("results");
  list.hidden = !matches.length;
  list.replaceChildren(...matches.slice(0, 100).map((node, k) => {
    const b = make("button", {}, node.name, " ", make("small", {}, [node.shape, node.module].filter(Boolean).join(" · ")));
    b.onclick = () => choose(k);
    return make("li", {}, b);
  }));
  refresh();
}
function choose(k) {
  match = (k + matches.length) % matches.length;
  select(matches[match]);
  [...$("results").querySelectorAll("button")].forEach((b, j) => j === match ? b.setAttribute("aria-current", "true") : b.removeAttribute("aria-current"));
}
$("search").addEventListener("input", () => search($("search").value));
$("search-form").addEventListener("submit", (event) => { event.preventDefault(); if (matches.length) choose(match + 1); });

// ------------------------------------------------------------------------------------------------- Buttons and the keys

function focus(item) { const g = byId.get(shownAs(item).id); if (g) g.focus({preventScroll: true}); }
function everything(open) { for (const box of boxes.values()) if (box !== root) box.open = open; draw(); start(); }
$("open-all").onclick = () => everything(true);
$("close-all").onclick = () => everything(false);
$("zoom-in").onclick = () => zoom(1.25);
$("zoom-out").onclick = () => zoom(0.8);
$("fit").onclick = fit;
$("theme").onclick = () => { const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches); document.documentElement.dataset.theme = dark ? "light" : "dark"; };
$("help").onclick = () => { const hidden = $("help-text").hidden; $("help-text").hidden = !hidden; $("help").setAttribute("aria-expanded", hidden); };
if (!data.modules.length && !root.children.some((child) => child.box)) $("open-all").hidden = $("close-all").hidden = true;

function along(key) {  // the neighbour in a direction: an input above, a user below, the nearest beside
  const here = selected ? shownAs(selected) : shownAs(nodes[0]);
  if (!selected) return here;
  const x = here.ax + here.w / 2, y = here.ay + here.h / 2;
  const linked = drawn.flatMap((edge) => key === "ArrowUp" && edge.to === here ? [edge.from] : key === "ArrowDown" && edge.from === here ? [edge.to] : []);
  const pool = linked.length ? linked : [...byId.keys()].map((id) => id[0] === "n" ? nodes[+id.slice(1)] : boxes.get(id.slice(2)));
  const cost = (item) => {
    const dx = item.ax + item.w / 2 - x, dy = item.ay + Math.min(item.h, 60) / 2 - y;
    const forward = {ArrowUp: -dy, ArrowDown: dy, ArrowLeft: -dx, ArrowRight: dx}[key];
    return item === here || (!linked.length && forward < 4) ? Infinity : key === "ArrowUp" || key === "ArrowDown" ? Math.abs(dy) + 2 * Math.abs(dx) : Math.abs(dx) + 3 * Math.abs(dy);
  };
  const best = pool.reduce((a, b) => cost(b) < cost(a) ? b : a, here);
  return cost(best) < Infinity ? best : here;
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("search")) { if (event.key === "Escape") { $("search").value = ""; search(""); const it = selected || nodes[0]; focus(it); } return; }
  const button = event.target.closest("button");
  const keys = {
    "/": () => $("search").focus(), s: () => go(at + 1), b: () => go(at - 1), Home: () => $("reset").click(), "?": () => $("help").click(),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit,
    Escape: () => { if (!$("help-text").hidden) $("help").click(); else select(null); },
  };
  if (event.target.closest("#panel") && event.key.startsWith("Arrow")) return;
  if (event.key.startsWith("Arrow")) { const next = along(event.key); select(next, false); reveal(next); focus(next); }
  else if (event.key === "Enter" && !button && selected) { if (selected.box) { swing(selected); focus(selected); } else { details(selected); $("panel").focus(); } }
  else if (event.key === " " && !button) $("play").click();
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});
svg.addEventListener("focusin", (event) => { const item = itemAt(event); if (item && item !== selected && !pointers.size) select(item, false); });
window.addEventListener("resize", move);

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
