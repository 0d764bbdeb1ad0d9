// --------------------------------------------------------------------------------------------------------------- Layout
// Each open box is laid out by itself, inner ones first: rows by longest path, order by barycentres, places by least
// squares. An edge that enters or leaves a box does so through a port on its border. What goes round in a folded run has a
// lane of its own at the right, and no say in where things stand.

const GAP_X = 26, GAP_Y = 34, PAD = 14, LANE = 12;

function* layout(box, edges, lanes) {  // gives way after each box, so that a large graph stops nobody
  const items = kids(box);
  for (const child of items) if (child.box && child.open) yield* layout(child, edges, lanes); else card(child);
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
  const rows = yield* arrange(placed, links.filter((link) => !beside.has(link.from)));
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
  const header = box === root ? 0 : width(title(box), BOLD) + (box.kind === "repeat" ? 120 : 54);
  for (const item of all) item.x += inset - low;
  box.w = Math.ceil(Math.max(high - low + 2 * inset, header));
  box.h = Math.ceil(y + (box === root ? 0 : PAD));
  const main = ports.find((p) => p.port === "in") || ports[0];
  box.left = main ? main.x : box.w / 2;  // where it hangs: its main edge is straight
  box.lanes = 0;
  box.w += LANE * Math.min(4, lanes.get(box) || 0);
  box.right = box.w - box.left;
  for (const port of ports) { if (port.port === "in") port.y = 0; else port.y = box.h; }
  for (const item of placed) {
    let at = item.y + item.h / 2 - (item.column.reduce((sum, side) => sum + side.h + 8, -8)) / 2;
    for (const side of item.column) { side.x = item.x + item.w / 2 + GAP_X + side.w / 2; side.y = at; at += side.h + 8; }
  }
  for (const link of links) link.beside = beside.get(link.from) === link.to;
  yield;
}

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

function* arrange(items, links) {  // rows of items and of waypoints, with x; a waypoint keeps an edge clear of a row
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
    if (!ways.has(from)) ways.set(from, []);
    const shared = ways.get(from);
    for (let r = rank.get(link.from) + 1, end = rank.get(link.to); r < end; r++) {
      let way = shared[r];
      if (!way) { way = {way: true, w: 10, h: 0, left: 7, right: 7, rank: r}; shared[r] = way; rank.set(way, r); put(way, r); join(from, way); }
      link.way.push(way);
      from = way;
    }
    join(from, link.to);
  }
  yield;
  for (let r = 0; r <= last + 1; r++) rows[r] = rows[r] || [];
  while (rows.length && !rows[rows.length - 1].length) rows.pop();
  const total = rows.reduce((sum, row) => sum + row.length, 0);
  const mean = (item, r) => {  // of its neighbours' places (in row r: of their slots); the main line is straight, and so are long edges
    let sum = 0, all = 0;
    for (const other of near.get(item) || []) {
      if (r !== undefined && rank.get(other) !== r) continue;
      const weight = !item.way === !other.way ? 8 : 1;
      all += weight;
      sum += weight * (r === undefined ? other.x : other.slot);
    }
    return all ? sum / all : null;
  };
  rows.forEach((row) => row.forEach((item, k) => { item.slot = k; }));
  for (let sweep = 0; sweep < 8; sweep++) {
    const down = sweep % 2 === 0;
    for (let k = 1; k < rows.length; k++) {
      const r = down ? k : rows.length - 1 - k;
      for (const item of rows[r]) { const m = mean(item, down ? r - 1 : r + 1); item.key = m === null ? item.slot : m; }
      rows[r].sort((a, b) => a.key - b.key || a.slot - b.slot).forEach((item, slot) => { item.slot = slot; });
    }
    yield;
  }
  for (const row of rows) { let x = 0; for (const item of row) { item.x = x + item.left; x += item.left + item.right + GAP_X; } }
  for (const row of rows) { const middle = row.length ? (row[0].x + row[row.length - 1].x) / 2 : 0; for (const item of row) item.x -= middle; }
  for (let sweep = 0, moved = 1, most = Math.min(120, 30000 / total); sweep < most && moved > 0.05; sweep++) {
    moved = 0;
    for (let k = 0; k < rows.length; k++) moved = Math.max(moved, settle(rows[sweep % 2 ? rows.length - 1 - k : k], mean));
    yield;
  }
  return rows;
}
function settle(row, mean) {  // places nearest to those wished for that keep the order and the gaps; how far it moved any
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
  let moved = 0;
  for (const block of blocks) for (const [item, at] of block.items) { const x = block.sum / block.n + at; moved = Math.max(moved, Math.abs(x - item.x)); item.x = x; }
  return moved;
}

function connect() {  // visible edges, for each open box the links between its children and ports, and what goes round
  const edges = new Map(), seen = new Map(), ports = new Map(), lanes = new Map(), as = nodes.map(shownAs), ups = new Map();
  const around = (item) => { if (!ups.has(item)) ups.set(item, path(item)); return ups.get(item); };
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
    const from = as[input], to = as[k], run = roundIn(nodes[input], node);
    if (from === to && !run || shares(nodes[input], from, node, to)) return;
    const key = `${from.id} ${to.id}${run ? " round" : ""}`;
    if (seen.has(key)) { seen.get(key).pairs.push([input, k]); return; }
    const edge = {from, to, run, pairs: [[input, k]], key, parts: []};
    seen.set(key, edge);
    if (run) { lanes.set(run, (lanes.get(run) || 0) + 1); return; }
    const up = around(from), down = around(to);
    let depth = 0;
    while (depth + 1 < up.length && depth + 1 < down.length && up[depth + 1] === down[depth + 1]) depth++;
    let at = from;
    for (let d = up.length - 1; d > depth; d--) { edge.parts.push([up[d], link(up[d], at, port(up[d], "out", from))]); at = up[d]; }
    const inner = down[depth + 1] || to;
    edge.parts.push([up[depth], link(up[depth], at, inner)]);
    for (let d = depth + 1; d < down.length; d++) edge.parts.push([down[d], link(down[d], port(down[d], "in", from), down[d + 1] || to)]);
  }));
  return [edges, [...seen.values()], ports, lanes];
}
function shares(input, from, node, to) {  // parameters go to all calls of their module: no data go from one to another
  const called = (box) => box.kind === "module" ? box.path.replace(/#\d+/g, "") : "";
  if (input.kind !== "parameter" || !from.box || from.open || !to.box || to.open || !called(from)) return false;
  return chain(node).some((box) => called(box) === called(from));
}
function roundIn(input, node) {  // the folded run in which one is in an earlier block than the other; null if in none
  for (let box = input.kind === "parameter" ? null : node.parent; box; box = box.parent)
    if (box.folded && box.open && box.places.has(input.k) && box.places.get(input.k)[0] !== box.places.get(node.k)[0] && chain(box).every((b) => b.open || hiding(b))) return box;
  return null;
}
