// ------------------------------------------------------------------------------------------------------- The tree of boxes
// Modules, calls, runs of equal blocks and their blocks. A folded run shows its first block, which stands for all of them.

const root = {path: "", id: "m:", name: "", children: [], parent: null, open: true, depth: 0, size: 0};
const boxes = new Map([["", root]]);
const users = nodes.map(() => []);
const nothing = {children: [], open: false, box: true, size: 0};
for (const box of data.boxes) boxes.set(box.path, {...box, ...nothing, children: [], open: !box.closed && !box.whole, id: "m:" + box.path, parent: boxes.get(box.within || "")});

const listed = new Set();
nodes.forEach((node, k) => {
  node.id = "n" + k;
  node.k = k;
  node.parent = boxes.get(node.within || "");
  for (const input of node.inputs) users[input].push(k);
  let item = node;
  for (; item !== root && !listed.has(item); item = item.parent) { listed.add(item); item.parent.children.push(item); }
  for (let box = node.parent; box; box = box.parent) { box.size += 1; add(box, node); }
});
function add(box, node) {  // what a closed box says of all that is in it
  for (const name of ["n_params", "flops", "bytes", "time"]) box[name] = (box[name] || 0) + (node[name] || 0);
  if (node.kind === "parameter" && node.norm) box.norm = Math.hypot(box.norm || 0, node.norm);
  if (node.alarm) box.alarm = node.alarm;
  box.order = Math.max(box.order || 0, node.order || 0);
}
for (const box of boxes.values())
  if (box.kind === "repeat") {
    box.folded = true;
    box.places = new Map();  // node -> which block, and which of its nodes
    box.blocks.forEach((block, n) => block.forEach((k, place) => box.places.set(k, [n, place])));
    for (const [k, user] of box.more || []) box.places.set(k, box.places.get(user));
    const claim = (inner) => { for (const child of inner.children) if (child.kind === "block" || child.kind === "part") { child.of = box; claim(child); } };
    claim(box);
  }
(function unbox(box) {  // one node needs no box: it says the module's name
  box.children = box.children.map((child) => {
    if (!child.box) return child;
    unbox(child);
    const [only] = child.children;
    if (child.kind !== "module" || data.level === "modules" || child.children.length > 1 || only.box) return child;
    only.alone = [child.name, whatOf(child)].filter(Boolean).join(" ");
    only.parent = box;
    boxes.delete(child.path);
    return only;
  });
})(root);
(function deepen(box) { for (const child of box.children) { child.depth = box.depth + (hiding(child) ? 0 : 1); if (child.box) deepen(child); } })(root);

function hiding(box) { return Boolean(box.of && box.of.folded); }  // its frame is not drawn: the run's says what it is
function kids(box) {
  if (!box.folded) return box.children;
  let [first] = box.children;
  while (first.kind === "part" && first.of === box) [first] = first.children;
  return first.of === box ? first.children : [first];
}
function chain(item) { const up = []; for (let box = item.parent; box; box = box.parent) up.unshift(box); return up; }
function path(item) { return chain(item).filter((box) => !hiding(box)); }
function blockOf(run, item) {  // which block of a run a node or box is in
  const place = run.places.get(item.box ? leaf(item).k : item.k);
  return place ? place[0] : 0;
}
function leaf(box) { while (box.box) [box] = box.children; return box; }
function shownAs(item) {  // itself, the closed box it is in, or what stands for it in a folded run
  let up = chain(item);
  for (let depth = 0; depth < up.length; depth++) {
    const box = up[depth];
    if (!box.open && !hiding(box)) return box;
    if (box.folded && blockOf(box, item)) {
      if (item.box) return box;
      item = nodes[box.blocks[0][box.places.get(item.k)[1]]];
      up = chain(item);
    }
  }
  return item.box && hiding(item) ? item.of : item;
}
function unfoldTo(item) {  // open all around it
  for (const box of chain(item)) { box.open = true; if (box.folded && blockOf(box, item)) box.folded = false; }
}
function showing(box = root, found = []) {  // all that is to be seen, in order
  for (const child of kids(box)) { found.push(child); if (child.box && child.open) showing(child, found); }
  return found;
}
