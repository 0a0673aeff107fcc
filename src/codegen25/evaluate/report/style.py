"""How the page looks and what it does: a style sheet and a small script, nothing from elsewhere."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1e21; --soft: #5c636b; --rule: #d5d9de;
  --wash: #f3f5f7; --ours: #e8f1fd; --link: #0b57d0; --good: #146c2e; --bad: #b3261e;
  --some: #7a5900; --c0: #0b57d0; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #0e7490;
  --c5: #be185d; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e4e7eb; --soft: #a3abb5;
  --rule: #39404a; --wash: #1f242a; --ours: #1b2c46; --link: #8ab4f8; --good: #7bd88f;
  --bad: #ff9a91; --some: #f0c75e; --c0: #8ab4f8; --c1: #ffa069; --c2: #7bd88f; --c3: #cf9dff;
  --c4: #67d5ea; --c5: #ff8fc0; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; }
nav a { display: inline-block; padding: .25rem 0; }
p.note { color: var(--soft); margin: .4rem 0; max-width: 50rem; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: .4rem; }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem; min-width: 100%;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .35rem .7rem; text-align: left; vertical-align: top; background: var(--paper);
  border-bottom: 1px solid var(--rule); white-space: nowrap; }
td.long { white-space: normal; min-width: 13rem; }
thead th { background: var(--wash); }
tbody th { font-weight: 400; }
tr:last-child > * { border-bottom: 0; }
tr.measured > * { background: var(--ours); }
tr.measured > th, tr.measured > td.number { font-weight: 650; }
tr.published > *, tr.floor > * { color: var(--soft); }
tr.floor > * { font-style: italic; }
.number { text-align: right; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; }
details > summary { cursor: pointer; padding: .45rem .2rem; }
.filter { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; margin: .6rem 0; }
.filter[hidden] { display: none; }
.filter label { display: grid; font-size: .9rem; color: var(--soft); }
.filter input, .filter select { font: inherit; color: var(--ink); background: var(--paper);
  border: 1px solid var(--soft); border-radius: .3rem; padding: .35rem .5rem; min-width: 0;
  max-width: 100%; }
.problems { list-style: none; padding: 0; margin: 0; border-top: 1px solid var(--rule); }
.problems > li { border-bottom: 1px solid var(--rule); content-visibility: auto;
  contain-intrinsic-size: auto 2.6rem; }
.problems > li[hidden] { display: none; }
.count { font-weight: 650; font-variant-numeric: tabular-nums; margin: 0 .4rem; }
.all { color: var(--good); } .some { color: var(--some); } .none { color: var(--bad); }
.why { color: var(--soft); font-size: .9rem; }
.inside { padding: 0 0 .8rem 1rem; }
pre { margin: .3rem 0 .8rem; padding: .6rem .8rem; background: var(--wash); overflow-x: auto;
  border-radius: .4rem; font: .84rem/1.45 ui-monospace, monospace; tab-size: 4;
  overflow-wrap: normal; }
pre .around { color: var(--soft); }
pre ins { text-decoration: none; background: var(--ours); box-shadow: -.25rem 0 var(--c0);
  color: var(--ink); -webkit-box-decoration-break: clone; box-decoration-break: clone; }
figure { margin: 0; }
svg { display: block; width: 100%; max-width: 38rem; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.end { text-anchor: end; } .mid { text-anchor: middle; }
.grid { stroke: var(--rule); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.epoch { stroke-dasharray: 2 4; opacity: .8; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; }
.key li::before { content: ""; display: inline-block; width: 1.6rem; height: .25rem;
  margin-right: .4rem; vertical-align: middle; background: var(--k); }
.key .k0 { --k: var(--c0); } .key .k1 { --k: var(--c1); } .key .k2 { --k: var(--c2); }
.key .k3 { --k: var(--c3); } .key .k4 { --k: var(--c4); } .key .k5 { --k: var(--c5); }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.dot { fill: var(--paper); stroke-width: 2; }
svg .t0 { fill: var(--c0); } svg .t1 { fill: var(--c1); } svg .t2 { fill: var(--c2); }
svg .t3 { fill: var(--c3); } svg .t4 { fill: var(--c4); } svg .t5 { fill: var(--c5); }
@media (max-width: 40rem) { body { padding: .7rem; } .inside { padding-left: .3rem; }
  th, td { padding: .35rem .5rem; }
  tbody th { position: sticky; left: 0; min-width: 7rem; white-space: normal; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media print { .filter { display: none; } }
"""

SCRIPT = """
for (const form of document.querySelectorAll("form.filter")) {
  const items = [...document.getElementById(form.dataset.list).children];
  const [words, outcome, shown] = form.querySelectorAll("input, select, output");
  const sieve = () => {
    const wanted = words.value.toLowerCase();
    let count = 0;
    for (const item of items) {
      const fits = (!outcome.value || item.dataset.is.split(" ").includes(outcome.value))
        && item.firstElementChild.firstElementChild.textContent.toLowerCase().includes(wanted);
      item.hidden = !fits;
      count += fits;
    }
    shown.value = count + " of " + items.length + " tasks";
  };
  form.addEventListener("input", sieve);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  sieve();
}
"""
