// ---------------------------------------------------------------------------------------------------------------- Begin

for (const id of ["step", "back", "play", "reset"]) if (!data.steps.length) $(id).disabled = true;
$("back").disabled = true;
draw().then(() => {
  if (nodes.length) start();
  const final = nodes[data.seeds.find((k) => nodes[k].kind === "output")] || nodes[nodes.length - 1];
  if (final) details(final);
  document.documentElement.dataset.ready = "true";
});
