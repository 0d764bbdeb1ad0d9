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

