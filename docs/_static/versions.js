// A menu of versions in the sidebar: "main", and the folders v* beside it, as `make_site.py` lists them in versions.js.
addEventListener("DOMContentLoaded", () => {
  const own = new URL(document.documentElement.dataset.content_root, location.href);
  const folder = own.pathname.match(/\/(v\d[^/]*)\/$/);
  const top = folder ? new URL("..", own) : own;
  window.showVersions = (names) => {
    const menu = document.createElement("select");
    menu.className = "versions";
    menu.ariaLabel = "Version";
    for (const name of names) menu.add(new Option(name));
    menu.value = folder ? folder[1] : "main";
    menu.onchange = () => {
      location.href = new URL((menu.value === "main" ? "" : `${menu.value}/`) + "index.html", top);
    };
    if (names.length > 1) document.querySelector(".sidebar-brand").after(menu);
  };
  const list = document.createElement("script"); // not fetch(), which a page that is opened as a file may not use
  list.src = new URL("versions.js", top);
  document.head.append(list);
});
