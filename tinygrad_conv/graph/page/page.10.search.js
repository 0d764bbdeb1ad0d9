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

