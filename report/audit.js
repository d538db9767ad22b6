"use strict";
// Shows the record of the artifact that the page's address names, and marks its kin in the picture. All text is put
// in as text, never as HTML.

const boxes = JSON.parse(document.getElementById("boxes").textContent);
const details = document.getElementById("details");
const boxOf = new Map();
for (const [name, box] of Object.entries(boxes))
  for (const artifact of Object.keys(box.verdicts)) boxOf.set(artifact, name);
const lines = [...document.querySelectorAll("path[data-from]")];

function element(tag, text, ...inside) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...inside);
  return made;
}

// Boxes and lines that lead to a box ("to" is followed up to "from"), or away from it.
function kin(start, near, far) {
  const found = { boxes: new Set(), lines: new Set() };
  const waiting = [start];
  while (waiting.length) {
    const at = waiting.pop();
    for (const line of lines) {
      if (line.dataset[near] !== at) continue;
      found.lines.add(line);
      const next = line.dataset[far];
      if (!found.boxes.has(next)) waiting.push(next);
      found.boxes.add(next);
    }
  }
  return found;
}

function mark(chosen) {
  const sets = { below: kin(chosen, "to", "from"), above: kin(chosen, "from", "to") };
  for (const box of document.querySelectorAll(".lineage a")) {
    for (const [name, set] of Object.entries(sets)) box.classList.toggle(name, set.boxes.has(box.id));
    box.classList.toggle("here", box.id === chosen);
    box.toggleAttribute("aria-current", box.id === chosen);
  }
  for (const line of lines) for (const [name, set] of Object.entries(sets)) line.classList.toggle(name, set.lines.has(line));
  return [sets.below.boxes.size, sets.above.boxes.size];
}

function lineOf(pairs) {
  const list = element("dl");
  for (const [heading, values] of pairs)
    list.append(element("dt", heading), element("dd", "", ...values.map((value) => element("div", value))));
  return list;
}

function linkTo(artifact) {
  const link = element("a", artifact);
  link.href = "#of/" + encodeURIComponent(artifact);
  return link;
}

function show(artifact) {
  const name = boxOf.get(artifact);
  const box = boxes[name];
  const [below, above] = mark(name);
  const verdict = box.verdicts[artifact];
  const told = [["what", [verdict.what]], ["verdict", [verdict.verdict, ...verdict.said]]];
  if (verdict.again) told.push(["made again", [verdict.again]]);
  told.push(["picture", [`made from ${below} boxes, ${above} made from it`]]);
  const job = box.jobs.find((each) => each.artifacts.includes(artifact));
  const parts = [element("h3", artifact), lineOf([...told, ...job.facts])];
  const others = Object.keys(box.verdicts).filter((other) => other !== artifact);
  if (others.length)
    parts.push(
      element("h4", "In the same box"),
      element("ul", "", ...others.map((other) => element("li", "", linkTo(other)))),
    );
  details.replaceChildren(...parts);
  details.scrollTop = 0;
  for (const row of document.querySelectorAll("tr[data-artifact]"))
    row.setAttribute("aria-current", String(row.dataset.artifact === artifact));
  return document.getElementById(name);
}

function named() {
  if (!location.hash.startsWith("#of/")) return null;
  try {
    const artifact = decodeURIComponent(location.hash.slice(4));
    return boxOf.has(artifact) ? artifact : null;
  } catch {
    return null; // an address that is cut off inside of a letter
  }
}

function follow() {
  const artifact = named();
  if (artifact === null) return;
  const box = show(artifact);
  // From the table, or an address that was passed on: bring the box into its frame, and the frame into sight.
  if (document.activeElement !== box) {
    document.getElementById("lineage").scrollIntoView({ block: "nearest" });
    box.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  details.scrollIntoView({ block: "nearest" });
}

document.getElementById("fit").addEventListener("change", (event) => {
  document.getElementById("picture").classList.toggle("fit", event.target.checked);
});
window.addEventListener("hashchange", follow);
follow();
document.body.dataset.ready = "true";
