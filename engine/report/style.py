"""Style and script of the report page: light and dark by the reader's wish, no outside font or file."""

STYLE = """
:root{--page:#f6f7f9;--panel:#fff;--ink:#1b2430;--dim:#6b7685;--line:#e3e7ec;--accent:#2563a8;--good:#13795b;--bad:#b3372f;
--gain:19,121,91;--loss:179,55,47;--warn:#fff6e0;--warn-line:#e2b84d;--warn-ink:#6a4b00}
@media (prefers-color-scheme:dark){:root{--page:#10151c;--panel:#182029;--ink:#e4e9f0;--dim:#93a0b0;--line:#2a3542;
--accent:#6fb1f5;--good:#4cc79a;--bad:#f0827a;--gain:52,168,126;--loss:214,84,76;--warn:#2d2612;--warn-line:#8a6d1f;
--warn-ink:#f3dca0}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:0 auto;padding:28px 20px 48px}
header p{margin:2px 0;color:var(--dim)}.over{text-transform:uppercase;letter-spacing:.08em;font-size:12px}
h1{margin:2px 0 4px;font-size:27px;line-height:1.2;overflow-wrap:anywhere}h2{font-size:16px;margin:0 0 10px}
h3{font-size:13px;margin:0 0 6px;color:var(--dim);text-transform:uppercase;letter-spacing:.06em}
h2 small{font-weight:400;color:var(--dim)}code{background:var(--line);border-radius:4px;padding:1px 6px;font-size:13px}
.panel,.card,.warnings{background:var(--panel);border:1px solid var(--line);border-radius:10px}
.panel{padding:18px 20px;margin-top:16px;position:relative}
.warnings{background:var(--warn);border-color:var(--warn-line);color:var(--warn-ink);padding:14px 20px;margin-top:16px}
.warnings h2{margin-bottom:4px}.warnings ul{margin:0;padding-left:20px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:16px}
.card{padding:12px 16px}.card span{display:block;color:var(--dim);font-size:13px}
.card b{font-size:23px;line-height:1.3;font-weight:650}.card b span{font-size:23px}
.good,.card b .good{color:var(--good)}.bad,.card b .bad{color:var(--bad)}.dim{color:var(--dim)}
svg{display:block;width:100%;height:auto}:is(svg,.legend)+h2{margin-top:14px}.grid{stroke:var(--line)}
.tick{fill:var(--dim);font-size:12px}.equity{fill:none;stroke:var(--accent);stroke-width:1.8;stroke-linejoin:round}
.equity-area{fill:var(--accent);opacity:.1}.drawdown{fill:none;stroke:var(--bad);stroke-width:1.4}
.drawdown-area{fill:var(--bad);opacity:.16}
:is(.benchmark,.price,.rolling,.indicator-0,.indicator-1,.indicator-2,.indicator-3,.run-0,.run-1,.run-2,.run-3,.run-4,
.run-5,.run-6,.run-7){fill:none;stroke-width:1.4;stroke-linejoin:round}
.benchmark{stroke:var(--dim);stroke-dasharray:5 3}
.price{stroke:var(--dim)}.rolling,.run-0{stroke:var(--accent)}.indicator-0,.run-1{stroke:#d98e04}
.indicator-1,.run-2{stroke:#8e5bd0}.indicator-2,.run-3{stroke:#0f9aa8}.indicator-3,.run-4{stroke:#c2417c}
.run-5{stroke:#5f8f1f}.run-6{stroke:#9a6b4f}.run-7{stroke:var(--dim)}
.buy{fill:var(--good)}.sell{fill:var(--bad)}.bar-gain{fill:var(--good);opacity:.75}.bar-loss{fill:var(--bad);opacity:.75}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:4px 0 0 66px;color:var(--dim);font-size:13px}
.legend i{display:inline-block;width:18px;height:3px;margin:0 6px 3px 0;border-radius:2px;background:var(--dim)}
:is(.key-equity,.key-run-0){background:var(--accent)!important}:is(.key-indicator-0,.key-run-1){background:#d98e04!important}
:is(.key-indicator-1,.key-run-2){background:#8e5bd0!important}:is(.key-indicator-2,.key-run-3){background:#0f9aa8!important}
:is(.key-indicator-3,.key-run-4){background:#c2417c!important}.key-run-5{background:#5f8f1f!important}
.key-run-6{background:#9a6b4f!important}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:24px}.pair .tick{font-size:23px}
small{display:block;color:var(--dim);font-size:12px;font-weight:400}h2 small{display:inline;font-size:13px}
.rows th,.rows td{padding:5px 8px;text-align:right;font-size:13px;border-bottom:1px solid var(--line)}
.rows th{color:var(--dim);font-weight:500;vertical-align:bottom}.rows :is(th,td):first-child{text-align:left}
.told :is(th,td):last-child{text-align:left}
.cursor{stroke:var(--dim);stroke-dasharray:3 3}
output{position:absolute;top:14px;right:20px;color:var(--dim);font-size:13px}
table{border-collapse:collapse;width:100%}.wide{overflow-x:auto}.scroll{max-height:560px;overflow-y:auto}
.groups{display:grid;grid-template-columns:repeat(auto-fit,minmax(225px,1fr));gap:22px 32px}
.groups td{padding:3px 0;border-bottom:1px solid var(--line);font-size:14px}.groups td+td{text-align:right}
.months th,.months td{padding:4px 6px;text-align:right;font-size:13px;white-space:nowrap}
.months th{color:var(--dim);font-weight:500}.months .gain{background:rgba(var(--gain),var(--heat))}
.months .loss{background:rgba(var(--loss),var(--heat))}.months .year{font-weight:650;border-left:2px solid var(--panel)}
.months td{border:1px solid var(--panel)}
.trades th,.trades td{padding:5px 8px;text-align:right;font-size:13px;white-space:nowrap;
border-bottom:1px solid var(--line)}.trades th{position:sticky;top:0;background:var(--panel);color:var(--dim);
font-weight:500}.trades :is(th,td):is(:nth-child(2),:nth-child(3)){text-align:left}
.trades td:first-child{color:var(--dim)}
.tag{border:1px solid var(--line);border-radius:9px;padding:0 7px;font-size:12px;color:var(--dim)}
.facts td{padding:3px 0;font-size:13px;overflow-wrap:anywhere}.facts td:first-child{width:210px;color:var(--dim)}
footer{margin-top:18px;color:var(--dim);font-size:13px}
@media print{body{background:#fff}.scroll{max-height:none}.panel{break-inside:avoid-page}}
@media (max-width:560px){main{padding:16px 10px}.panel{padding:14px 12px}h1{font-size:22px}.tick{font-size:20px}}
"""

SCRIPT = """
for (const box of document.querySelectorAll('.hover')) {
  const points = JSON.parse(box.dataset.points), said = box.querySelector('output');
  const charts = [...box.querySelectorAll('svg')], first = points[0][0];
  const span = Math.max(points[points.length - 1][0] - first, 1);
  const cursors = charts.map(svg => {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    line.setAttribute('class', 'cursor');
    line.setAttribute('y1', 12);
    line.setAttribute('y2', svg.viewBox.baseVal.height - 26);
    line.setAttribute('visibility', 'hidden');
    svg.append(line);
    return line;
  });
  box.addEventListener('pointermove', event => {
    const frame = charts[0].getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width * 1000;
    const share = Math.min(Math.max((x - 74) / 912, 0), 1), time = first + share * span;
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < time) low = middle + 1; else high = middle;
    }
    const [at, equity, depth] = points[low], place = 74 + (at - first) / span * 912;
    for (const line of cursors) {
      line.setAttribute('x1', place);
      line.setAttribute('x2', place);
      line.setAttribute('visibility', 'visible');
    }
    const day = new Date(at / 1000).toISOString().slice(0, 16).replace('T', ' ');
    said.textContent = `${day} UTC · ${equity.toLocaleString('en')} · ${(depth * 100).toFixed(1)} %`;
  });
  box.addEventListener('pointerleave', () => {
    said.textContent = '';
    for (const line of cursors) line.setAttribute('visibility', 'hidden');
  });
}
"""
