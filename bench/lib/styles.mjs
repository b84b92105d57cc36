// The style sheet of the page.
export const styles = `
:root {
  --paper: #fffefa; --ink: #1b1b19; --quiet: #64635d; --rule: #dedcd3; --grid: #e9e7de;
  --ours: #1f5a94; --variant: #7fa3c6; --rival: #a9a69c; --missed: #a32c20;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161615; --ink: #e4e2da; --quiet: #a09d93; --rule: #3a3935; --grid: #2a2926;
    --ours: #74aee6; --variant: #466a8f; --rival: #807d74; --missed: #f0877b;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 15px/1.45 "Gill Sans", "Gill Sans Nova", "Segoe UI", system-ui, "DejaVu Sans", sans-serif; }
body { max-width: 1240px; margin: 0 auto; padding: 40px 28px 90px; font-variant-numeric: tabular-nums lining-nums; }
h1 { font-size: 30px; font-weight: 400; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 21px; font-weight: 400; margin: 44px 0 0; }
h3 { font-size: 16px; font-weight: 400; margin: 0 0 4px; }
h3 code { color: var(--ours); margin-right: 6px; }
code { font: 0.92em ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: 3px; }
a:hover, a:focus-visible { color: var(--ours); text-decoration-color: currentColor; }
p { margin: 0; max-width: 76ch; }
.date { color: var(--quiet); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 2px 28px; margin: 18px 0 34px; font-size: 13px; }
.facts div { display: flex; gap: 10px; }
.facts dt { flex: 0 0 92px; color: var(--quiet); }
.facts dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th { font-weight: 400; text-align: left; }
th, td { padding: 3px 14px 3px 0; vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--quiet); border-bottom: 1px solid var(--rule); vertical-align: bottom; }
.num { text-align: right; white-space: nowrap; }
.unit { color: var(--quiet); white-space: nowrap; }
.quiet, .does { color: var(--quiet); }
td.ours, th.ours { color: var(--ours); }
.summary { width: 100%; }
.summary td, .summary tbody th { border-bottom: 1px solid var(--grid); padding-top: 4px; padding-bottom: 4px; }
.summary tbody + tbody::before { content: ""; display: block; height: 18px; }
.summary tbody th { min-width: 200px; }
.summary small { display: block; color: var(--quiet); font-size: 11.5px; line-height: 1.3; }
.summary .num, .summary thead th[colspan] { padding-right: 6px; }
.summary thead th[colspan] { text-align: center; }
.summary .unit { font-size: 12px; }
.summary .strip { padding-left: 8px; }
.summary thead .strip span { display: block; text-align: center; padding-right: 8px; }
.target { white-space: nowrap; line-height: 1.35; }
.reached b, .missed b, .unknown b { font-weight: 400; }
.reached, .unknown { color: var(--quiet); }
.reached b { color: var(--ink); }
.missed, .missed b, .warnings, .failures li { color: var(--missed); }
.reading { color: var(--quiet); font-size: 13px; margin-top: 18px; max-width: 100ch; }
.row { border-top: 1px solid var(--rule); margin-top: 26px; padding-top: 16px; }
.note, .verdict { font-size: 13px; color: var(--quiet); max-width: 110ch; }
.verdict { margin-top: 4px; }
.warnings { font-size: 13px; margin: 6px 0 0; padding-left: 18px; }
.evidence { display: grid; grid-template-columns: minmax(0, 600px) minmax(0, 1fr); gap: 10px 32px; margin-top: 12px; align-items: start; }
.tables > * + * { margin-top: 14px; }
.tables table { font-size: 12px; }
.tables th, .tables td { padding-right: 12px; }
.tables tbody th { white-space: nowrap; }
details summary { font-size: 12px; color: var(--quiet); cursor: pointer; }
details[open] summary { margin-bottom: 6px; }
figure { margin: 0 0 10px; }
figure.small { display: flex; flex-wrap: wrap; gap: 10px 20px; }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; font-size: 13px; overflow: visible; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--quiet); font-size: 11px; }
svg .figure { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .name.ours, svg .figure.ours { fill: var(--ours); }
svg .grid { stroke: var(--grid); }
svg .axis { stroke: var(--rule); }
svg .bar.ours, svg .dot.ours { fill: var(--ours); }
svg .bar.variant, svg .dot.variant { fill: var(--variant); }
svg .bar.rival, svg .dot.rival { fill: var(--rival); }
svg .bar.limit { fill: none; stroke: var(--quiet); }
svg .gap { fill: var(--paper); }
svg .cut { stroke: var(--quiet); }
svg .beyond { fill: var(--rival); }
svg .beyond.variant { fill: var(--variant); }
svg .beyond.limit { fill: var(--ink); }
svg .limit-mark { stroke: var(--ink); stroke-width: 1.5; }
svg .whisker { stroke: var(--ink); }
svg .target { stroke: var(--missed); stroke-dasharray: 3 3; }
svg .curve { fill: none; stroke: var(--rival); stroke-width: 1.25; }
svg .curve.ours { stroke: var(--ours); stroke-width: 2.25; }
svg .curve.variant { stroke: var(--variant); }
svg .leader { stroke: var(--rule); }
svg.standing { display: inline-block; vertical-align: middle; max-width: none; }
@media (max-width: 1020px) { .evidence { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 560px) {
  body { padding: 28px 16px 60px; }
  figure:not(.small) > svg { font-size: 15px; }
  figure:not(.small) > svg .tick { font-size: 13px; }
  td.does { min-width: 220px; }
}
@media print { body { padding: 0; max-width: none; } .row { break-inside: avoid; } }
`;
