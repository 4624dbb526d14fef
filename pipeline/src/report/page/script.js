(() => {
'use strict';
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Tables: a click on a header sorts, another one reverses; what is empty stays last.
for (const table of all('table.sortable')) {
  const body = table.tBodies[0], heads = all('thead th', table);
  const key = (row, i) => {
    const cell = row.cells[i], value = cell.dataset.v;
    return value === undefined ? cell.textContent.trim() : value === '' ? '' : +value;
  };
  const compare = (a, b) =>
    typeof a === 'number' && typeof b === 'number' ? a - b
      : String(a).localeCompare(String(b), undefined, { numeric: true });
  heads.forEach((head, i) => head.addEventListener('click', () => {
    const sign = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
    heads.forEach(h => h.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
    const rows = [...body.rows].map(row => [key(row, i), row]);
    rows.sort(([a], [b]) => a === '' ? (b === '' ? 0 : 1) : b === '' ? -1 : sign * compare(a, b));
    body.append(...rows.map(r => r[1]));
  }));
  if (body.rows.length > 12) filter(table, body);
}

function filter(table, body) {
  const label = document.createElement('label'), input = document.createElement('input');
  const told = document.createElement('span');
  label.className = 'filter';
  input.type = 'search';
  input.placeholder = 'Filter rows';
  input.setAttribute('aria-label', 'Filter rows');
  told.setAttribute('role', 'status');
  label.append(input, told);
  table.parentNode.before(label);
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    told.textContent = words.length ? `${count} of ${body.rows.length}` : `${body.rows.length} rows`;
  };
  input.addEventListener('input', show);
  show();
}

// Figures: the value under the pointer or the finger.
const tip = document.getElementById('tip');
let cross = null;
const hide = () => { tip.hidden = true; cross?.remove(); cross = null; };

// A value as exact as a tenth of a pixel tells.
function scale(text) {
  const [low, high, first, last, log] = text.split(' ').map((v, i) => i < 4 ? +v : v);
  const bend = v => log ? Math.log(v) : v;
  const at = p => {
    const share = (p - first) / (last - first), value = bend(low) + share * (bend(high) - bend(low));
    return log ? Math.exp(value) : value;
  };
  return p => {
    const value = at(p), step = Math.abs(at(p + .1) - value);
    const digits = Math.floor(-Math.log10(step));
    if (Math.abs(value) < step / 2) return '0';
    if (Math.abs(value) >= 1e6 || step < 1e-6) return value.toExponential(2);
    return value.toFixed(Math.min(Math.max(digits, 0), 8)).replace('-', '−');
  };
}

// Dots and corners of a path, whose steps are relative.
function places(path) {
  let x = 0, y = 0;
  return [...path.matchAll(/[ml](-?[\d.]+) ?(-?[\d.]+)/g)].map(([, dx, dy]) => [x += +dx, y += +dy]);
}

function read(svg) {
  const frame = svg.querySelector('[data-x]'), image = svg.querySelector('image[data-levels]');
  const name = selector => svg.querySelector(selector)?.textContent.trim() ?? '';
  const found = { marks: all('[data-t]', svg), dots: [], lines: [] };
  if (!frame) return found;
  Object.assign(found, {
    x: scale(frame.dataset.x), y: scale(frame.dataset.y), xl: name('.xl'), yl: name('.yl'),
    box: ['x', 'y', 'width', 'height'].map(a => +frame.getAttribute(a)),
  });
  for (const path of all('[data-s]', svg)) {
    const d = path.getAttribute('d');
    found[d.includes('l') ? 'lines' : 'dots'].push([path.dataset.s, places(d)]);
  }
  if (image) {
    const [low, high] = image.dataset.range.split(' ').map(Number);
    const levels = Uint8Array.from(atob(image.dataset.levels), c => c.charCodeAt(0));
    found.cells = { side: +image.dataset.side, low, high, levels };
  }
  return found;
}

function told(found, x, y, reach, target) {
  const mark = target.closest?.('[data-t]') ?? nearestMark(found.marks, x, y, reach);
  if (mark) return { text: mark.dataset.t, at: mark.cx && [mark.cx.baseVal.value, mark.cy.baseVal.value] };
  if (!found.box) return null;
  const [left, top, width, height] = found.box;
  if (x < left - 2 || x > left + width + 2 || y < top - 2 || y > top + height + 2) return null;
  const pair = p => `${found.xl} ${found.x(p[0])}\n${found.yl} ${found.y(p[1])}`;
  let best = null;
  for (const [name, points] of found.dots) for (const p of points) {
    const far = Math.hypot(p[0] - x, p[1] - y);
    if (far < reach && (!best || far < best.far)) best = { far, text: `${name}\n${pair(p)}`, at: p };
  }
  if (best) return best;
  if (found.lines.length) {
    const near = found.lines.map(([name, points]) =>
      [name, points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a)]);
    const at = near.reduce((a, b) => Math.abs(b[1][1] - y) < Math.abs(a[1][1] - y) ? b : a)[1];
    return { text: [`${found.xl} ${found.x(at[0])}`, ...near.map(([n, p]) => `${n} ${found.y(p[1])}`)].join('\n'), at };
  }
  if (found.cells) {
    const { side, low, high, levels } = found.cells, cell = (v, size) => Math.min(side - 1, Math.max(0, Math.floor(v / size * side)));
    const level = levels[cell(top + height - y, height) * side + cell(x - left, width)];
    const value = low + level / 254 * (high - low);
    const text = level === 255 ? 'not finite' : (level === 254 ? 'at least ' : 'about ') + value.toPrecision(3);
    return { text: `${found.xl} ${found.x(x)}\n${found.yl} ${found.y(y)}\n${text}` };
  }
  return null;
}

function nearestMark(marks, x, y, reach) {
  let best = null;
  for (const mark of marks) {
    if (!mark.cx) continue;
    const far = Math.hypot(mark.cx.baseVal.value - x, mark.cy.baseVal.value - y);
    if (far < reach && (!best || far < best.far)) best = { far, mark };
  }
  return best?.mark;
}

for (const svg of all('svg.plot')) {
  let found = null;
  const point = event => {
    found ??= read(svg);
    const box = svg.getBoundingClientRect(), zoom = svg.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
    const reach = (event.pointerType === 'touch' ? 24 : 12) * zoom;
    const says = told(found, x, y, reach, event.target);
    hide();
    if (!says) return;
    if (says.at) {
      cross = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
      cross.setAttribute('class', 'cross');
      for (const [name, value] of [['cx', says.at[0]], ['cy', says.at[1]], ['r', 5]]) cross.setAttribute(name, value);
      svg.append(cross);
    }
    tip.textContent = says.text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    const above = event.clientY - height - 14;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, room - width - 4))}px`;
    tip.style.top = `${above > 4 ? above : event.clientY + 18}px`;
  };
  svg.addEventListener('pointermove', point);
  svg.addEventListener('pointerdown', point);
  svg.addEventListener('pointerleave', event => { if (event.pointerType !== 'touch') hide(); });
}
document.addEventListener('pointerdown', event => { if (!event.target.closest?.('svg.plot')) hide(); });
addEventListener('scroll', hide, { passive: true });
addEventListener('keydown', event => { if (event.key === 'Escape') hide(); });

// The contents follow the reader.
const links = all('nav a');
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting)
    links.forEach(a => a.classList.toggle('here', a.hash === `#${entry.target.id}`));
}, { rootMargin: '-10% 0px -75% 0px' });
all('main > section').forEach(section => seen.observe(section));

// Paper cannot be clicked.
let opened = [];
addEventListener('beforeprint', () => {
  opened = all('details:not([open])');
  opened.forEach(d => { d.open = true; });
});
addEventListener('afterprint', () => opened.forEach(d => { d.open = false; }));
})();
