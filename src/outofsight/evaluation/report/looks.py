"""How the report looks and what its buttons do: style and script, put into the page as they are."""

STYLE = """
body { font: 14px/1.45 system-ui, Helvetica, Arial, sans-serif; color: #222; margin: 1.5rem auto; max-width: 1500px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { margin: 0 0 .3rem; }
small { color: #666; font-weight: normal; } .bad { color: #b3261e; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .25rem .6rem; border-bottom: 1px solid #e3e6ea;
  text-align: right; white-space: nowrap; vertical-align: top; }
th:first-child { text-align: left; position: sticky; left: 0; background: white; }
thead th { background: #f5f6f8; cursor: help; } .sortable thead th { cursor: pointer; }
thead th.up::after { content: " \\25B2"; } thead th.down::after { content: " \\25BC"; }
tr.baseline, tr.upper { color: #777; } td.undefined { color: #aaa; cursor: help; }
details td, details th { white-space: normal; text-align: left; } pre { white-space: pre-wrap; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; } figure { margin: 0; }
.clip { border-top: 1px solid #ccc; padding: 1rem 0; } .clip p { margin: .2rem 0 .5rem; color: #555; }
.panels { display: flex; flex-wrap: wrap; gap: .6rem; } .panel { width: 230px; }
.panel video { width: 100%; display: block; background: #000; image-rendering: auto; }
.panel video.waiting { opacity: .35; }
.controls { display: flex; gap: .8rem; align-items: center; margin-bottom: .5rem; max-width: 900px; }
.timeline { position: relative; flex: 1; height: 16px; background: #f0f1f3; cursor: pointer; }
.timeline i { position: absolute; top: 0; bottom: 0; } .timeline b { position: absolute; top: -3px; bottom: -3px;
  width: 2px; background: #000; left: 0; }
.key { margin-right: 1rem; } .key i { display: inline-block; width: 14px; height: 10px; margin-right: .35rem; }
.legend { color: #555; }
.verdict { font-size: 1.1rem; } .first > h3 { margin-top: 1rem; }
"""

SCRIPT = """
"use strict";
// Sorting: numbers by value, undefined cells last, names as text.
document.querySelectorAll("table.sortable").forEach(function (table) {
  table.querySelectorAll("thead th").forEach(function (head, column) {
    head.addEventListener("click", function () {
      var up = !head.classList.contains("up");
      table.querySelectorAll("thead th").forEach(function (h) { h.classList.remove("up", "down"); });
      head.classList.add(up ? "up" : "down");
      table.querySelectorAll("tbody").forEach(function (body) {
        var rows = Array.from(body.rows);
        rows.sort(function (a, b) {
          var x = a.cells[column], y = b.cells[column];
          var p = x.dataset.value, q = y.dataset.value;
          if (p === undefined && q === undefined) {
            var order = x.textContent.localeCompare(y.textContent, undefined, { numeric: true });
            return up ? order : -order;
          }
          if (p === undefined) { return 1; }
          if (q === undefined) { return -1; }
          return up ? p - q : q - p;
        });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  });
});
var choice = document.getElementById("method");
if (choice) {
  choice.addEventListener("change", function () {
    document.querySelectorAll("#clips tbody").forEach(function (body) {
      body.hidden = body.dataset.method !== choice.value;
    });
  });
}
// A clip's videos run together: the context first, then all target videos at once.
document.querySelectorAll("section.clip").forEach(function (clip) {
  var before = Number(clip.dataset.context), after = Number(clip.dataset.target), total = before + after;
  var context = Array.from(clip.querySelectorAll('video[data-part="context"]'));
  var target = Array.from(clip.querySelectorAll('video[data-part="target"]'));
  var hand = clip.querySelector(".timeline b"), bar = clip.querySelector(".timeline");
  var button = clip.querySelector("button");
  var now = 0, last = null, again = false;
  function show(time, seek) {
    now = time;
    hand.style.left = (100 * time / total) + "%";
    var inContext = time < before;
    target.forEach(function (v) { v.classList.toggle("waiting", inContext); });
    if (seek) {
      context.forEach(function (v) { v.currentTime = Math.min(time, before); });
      target.forEach(function (v) { v.currentTime = Math.max(0, time - before); });
    }
  }
  function stop() {
    last = null;
    button.textContent = "play";
    context.concat(target).forEach(function (v) { v.pause(); });
  }
  function step(stamp) {
    if (last === null) { return; }
    var was = now;
    show(Math.min(total, now + (stamp - last) / 1000), false);
    last = stamp;
    if (was < before && now >= before) {
      context.forEach(function (v) { v.pause(); });
      target.forEach(function (v) { v.currentTime = 0; v.play(); });
    }
    if (now >= total) {
      stop();
      if (again) { button.click(); }
      return;
    }
    requestAnimationFrame(step);
  }
  button.addEventListener("click", function () {
    if (last !== null) { again = false; stop(); return; }
    show(now >= total ? 0 : now, true);
    (now < before ? context : target).forEach(function (v) { v.play(); });
    button.textContent = "pause";
    last = performance.now();
    requestAnimationFrame(step);
  });
  bar.addEventListener("click", function (event) {
    var box = bar.getBoundingClientRect();
    stop();
    show(total * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)), true);
  });
  show(0, false);
  if (clip.closest(".first")) { again = true; button.click(); }
});
"""
