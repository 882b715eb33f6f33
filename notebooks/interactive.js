/* The course's pictures that respond: plain JavaScript, no library, no request. interactive.py puts the kit and one
   kind into a notebook's output, behind a <div class="llm-picture" data-kind="..." data-values="JSON">. Each picture
   draws into a shadow root of its own, so that no theme's style gets in, and knows no ids and no global names, so that
   two views of one notebook work side by side. All controls are the browser's own, so the keyboard works by itself. */
(() => {
"use strict";

// The colours of figures.py: one colour for one thing.
const QUERY = "#0072B2", KEY = "#E69F00", VALUE = "#009E73", TOKEN = "#BBBBBB", LOSS = "#D55E00", CHANCE = "#56B4E9",
      CHOSEN = "#333333", POSITION = "#CC79A7", EDGE = "#555555";
const SVG = "http://www.w3.org/2000/svg";
const kinds = {};

const STYLE = `
:host { all: initial; display: block; max-width: 920px }
* { box-sizing: border-box }
.card { background: #fff; color: #000; border: 1px solid #bbb; border-radius: 6px; padding: 12px; 
  font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
.row { display: flex; flex-wrap: wrap; gap: 6px 20px; align-items: end; margin-bottom: 10px }
label.slider { display: grid; grid-template-columns: 1fr auto; column-gap: 8px; flex: 1 1 150px; max-width: 420px }
label.slider input { grid-column: 1 / -1; width: 100%; margin: 4px 0; accent-color: ${QUERY} }
output, .number { font-variant-numeric: tabular-nums; white-space: nowrap }
output { font-weight: bold }
fieldset { border: 0; padding: 0; margin: 0; min-width: 0; display: flex; flex-wrap: wrap; gap: 4px }
legend { padding: 0; margin-bottom: 2px }
.chip { display: inline-block; border: 1px solid ${EDGE}; border-radius: 4px; padding: 1px 6px; background: #fff;
  white-space: pre }
.vector { display: inline-flex; gap: 2px }
.vector .chip { border: 0; padding: 1px 3px }
.pick { display: inline-flex; cursor: pointer; flex-shrink: 0; max-width: 100% }
.pick .chip { white-space: pre-wrap }
.pick input { position: absolute; opacity: 0; margin: 0 }
.pick input:checked + .chip { background: ${QUERY}; color: #fff }
:focus-visible, .pick input:focus-visible + .chip { outline: 3px solid #000; outline-offset: 2px }
button { font: inherit; color: #000; background: #eee; border: 1px solid ${EDGE}; border-radius: 4px; padding: 3px 10px;
  cursor: pointer }
button:disabled { color: #595959; cursor: default }
.line { display: grid; align-items: center; gap: 2px 8px; margin: 2px 0 }
.track { position: relative; height: 18px; background: #f2f2f2 }
.fill, .before { position: absolute; left: 0; top: 0; bottom: 0; transition: width .15s }
.fill { border: 1px solid ${EDGE} }
.before { border-right: 2px dashed #000 }
.cut { background: repeating-linear-gradient(45deg, #fff 0 4px, #ccc 4px 8px) }
.word { overflow: hidden; text-overflow: ellipsis; white-space: pre }
.stage { text-align: center; padding: 8px }
.model { border: 2px solid ${EDGE}; border-radius: 6px; padding: 40px; max-width: 300px; margin: 0 auto }
.says { margin: 10px 0 0; padding: 6px 10px; background: #f2f2f2; min-height: 3em }
.note { margin: 4px 0 }
svg { display: block; overflow: visible }
svg text { font-size: 14px; fill: #000 }
slot, ::slotted(p) { display: none }
@media print { .card { display: none } slot { display: block } ::slotted(img) { max-width: 100%; height: auto } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important } }`;

// A new element, of SVG if its parent is or it is an <svg> itself, at the end of the parent.
function add(parent, tag, attributes = {}, text = "") {
  const space = tag === "svg" || parent.namespaceURI === SVG ? SVG : "http://www.w3.org/1999/xhtml";
  const node = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  parent.append(node);
  return node;
}

const row = parent => add(parent, "div", {class: "row"});
const sum = numbers => numbers.reduce((total, number) => total + number, 0);
const range = (count, start = 0) => Array.from({length: count}, (_, i) => start + i);
const steps = (low, high, step) => range(Math.round((high - low) / step) + 1).map(i => +(low + i * step).toFixed(6));
const dot = (a, b) => sum(a.map((x, i) => x * b[i]));
const quote = text => `“${text.trim().replace(/^·/, "")}”`;
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const fixed = digits => number => number.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");

// A slider over a list of stops. `show` says a stop in words; `limit` exchanges the stops and keeps what it can.
function slider(parent, name, stops, start, changed, show = String) {
  const label = add(parent, "label", {class: "slider"});
  add(label, "span", {}, name);
  const shown = add(label, "output");
  const input = add(label, "input", {type: "range", min: 0, step: 1, "aria-label": name});
  const control = {
    get value() { return stops[input.value]; },
    set(value) {
      const gaps = stops.map(stop => Math.abs(stop - value));
      input.value = gaps.indexOf(Math.min(...gaps));
      shown.textContent = show(control.value);
      input.setAttribute("aria-valuetext", shown.textContent);
    },
    limit(others, value = control.value) {
      stops = others;
      input.max = stops.length - 1;
      control.set(value);
    },
    move(by) { control.set(stops[Math.max(0, Math.min(stops.length - 1, +input.value + by))]); changed(); },
    get ends() { return [+input.value === 0, +input.value === stops.length - 1]; },
  };
  control.limit(stops, start);
  input.addEventListener("input", () => { control.set(control.value); changed(); });
  return control;
}

// One of a few texts, as radio buttons that look like boxes: the arrow keys move from one to the next.
function choice(parent, name, texts, start, changed) {
  const group = add(parent, "fieldset");
  add(group, "legend", {}, name);
  const boxes = texts.map((text, i) => {
    const label = add(group, "label", {class: "pick"});
    const input = add(label, "input", {type: "radio", name, "aria-label": text});
    input.checked = i === start;
    input.addEventListener("change", () => { control.value = i; changed(); });
    return add(label, "span", {class: "chip"}, text);
  });
  const control = {value: start, boxes, group};
  return control;
}

function button(parent, text, clicked) {
  const node = add(parent, "button", {type: "button"}, text);
  node.addEventListener("click", clicked);
  return node;
}

// A button back and one forth beside a slider; `refresh` greys them at the ends.
function backAndForth(parent, control, back, forth) {
  const buttons = [button(parent, back, () => control.move(-1)), button(parent, forth, () => control.move(1))];
  return () => control.ends.forEach((end, i) => { buttons[i].disabled = end; });
}

// The line that says what came of a change, in words and numbers; screen readers read it out.
const announcer = card => add(card, "p", {class: "says", role: "status", "aria-live": "polite"});

// A bar for a share between 0 and 1, and if wanted a mark where it was before.
function bar(parent, share, colour, before) {
  const track = add(parent, "div", {class: "track"}), percent = value => `${(100 * value).toFixed(2)}%`;
  const fill = add(track, "div", {class: colour === "cut" ? "fill cut" : "fill"});
  fill.style.width = percent(share);
  if (colour !== "cut") fill.style.background = colour;
  if (before >= 0.005) add(track, "div", {class: "before"}).style.width = percent(before);
  return track;
}

// Draw again when the width has changed.
function onWidth(node, redraw) {
  let width = 0;
  new ResizeObserver(() => requestAnimationFrame(() => {
    if (node.clientWidth && node.clientWidth !== width) redraw(width = node.clientWidth);
  })).observe(node);
}

// A chart with two axes: returns functions from values to pixels, and one that draws a line.
function chart(parent, width, height, x, y) {
  const svg = add(parent, "svg", {width, height, "aria-hidden": "true"}), left = 52, bottom = height - 40, top = 10;
  const scale = (axis, from, to) => {
    const at = axis.log ? Math.log : value => value;
    const [low, high] = axis.limits.map(at);
    return value => from + (to - from) * (Math.max(low, Math.min(high, at(value))) - low) / (high - low);
  };
  const px = scale(x, left, width - 14), py = scale(y, bottom, top);
  add(svg, "path", {d: `M${left} ${top}V${bottom}H${width - 14}`, fill: "none", stroke: EDGE});
  for (const tick of x.ticks) add(svg, "text", {x: px(tick), y: bottom + 16, "text-anchor": "middle"}, tick);
  for (const tick of y.ticks) add(svg, "text", {x: left - 6, y: py(tick) + 5, "text-anchor": "end"}, tick);
  add(svg, "text", {x: (left + width) / 2, y: height - 6, "text-anchor": "middle"}, x.name);
  const line = (points, stroke, more = {}) => add(svg, "polyline", {
    points: points.map(([a, b]) => `${px(a).toFixed(1)},${py(b).toFixed(1)}`).join(" "), fill: "none", stroke,
    "stroke-width": 2.5, ...more});
  return {svg, px, py, line};
}

// kind: sampling
// One distribution under temperature, top-k and top-p. data: words and logits, the highest first; tail, [how many,
// logit] for the tokens without a name; hottest, the largest temperature; start, {temperature, top_k, top_p}.
kinds.sampling = (card, data) => {
  const entries = [...data.words.map((word, i) => ({word, logit: data.logits[i], count: 1})),
                   ...data.tail.map(([count, logit]) => ({count, logit}))];
  const total = sum(entries.map(entry => entry.count)), named = data.words.length;
  const noun = total > named ? "token" : "word";
  const ks = range(20, 1).concat([50, 100, 200, 500, 1000, 2000, 5000, 10000]).filter(k => k < total).concat(total);
  const controls = row(card);
  const temperature = slider(controls, "temperature", steps(0.1, data.hottest, 0.1), data.start.temperature, redraw,
                             fixed(1));
  const topK = slider(controls, "top-k", ks, data.start.top_k ?? total, redraw,
                      k => k === total ? `${k.toLocaleString("en")} (all)` : String(k));
  const topP = slider(controls, "top-p", steps(0, 1, 0.01), data.start.top_p, redraw, fixed(2));
  const lines = add(card, "div"), says = announcer(card);
  let seed = 1, kept, final;
  const draws = row(card), drawn = add(draws, "span", {role: "status"});
  draws.prepend(button(draws, `Draw 100 ${noun}s`, () => {
    const counts = new Map();
    for (let i = 0; i < 100; i++) {
      let dice = (seed = (seed * 48271) % 2147483647) / 2147483647, at = 0;
      while (at < entries.length - 1 && (dice -= final[at]) >= 0) at++;
      const word = entries[at].word ?? "another";
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    drawn.textContent = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 12)
      .map(([word, count]) => `${count} × ${word}`).join(",  ");
  }));
  draws.style.margin = "8px 0 0";

  function shares(heat) {
    const raw = entries.map(entry => entry.count * Math.exp((entry.logit - entries[0].logit) / heat)), all = sum(raw);
    return raw.map(value => value / all);
  }

  // Both rules look at the probabilities after the temperature, as the course's functions do.
  function cut(scaled) {
    let before = 0, rank = 0;
    return entries.map(({count}, i) => {
      const allowed = Math.ceil((topP.value - before) / (scaled[i] / count) - 1e-9);
      const byK = Math.max(0, topK.value - rank), byP = topP.value === 1 ? count : Math.max(rank ? 0 : 1, allowed);
      before += scaled[i];
      rank += count;
      return {number: Math.min(count, byK, byP), rule: byK <= byP ? "top-k" : "top-p"};
    });
  }

  const first = shares(1);
  function redraw() {
    const scaled = shares(temperature.value);
    kept = cut(scaled);
    const raw = scaled.map((share, i) => share * kept[i].number / entries[i].count), all = sum(raw);
    final = raw.map(share => share / all);
    drawn.textContent = "";
    lines.replaceChildren();
    for (let i = 0; i < named; i++) {
      const line = addLine(data.words[i]);
      bar(line, kept[i].number ? final[i] : scaled[i], kept[i].number ? CHANCE : "cut", first[i]);
      add(line, "span", {class: "number"}, kept[i].number ? fixed(4)(final[i]) : `cut by ${kept[i].rule}`);
    }
    const left = sum(kept.map(item => item.number));
    if (total > named) {
      const others = left - sum(kept.slice(0, named).map(item => item.number)), share = sum(final.slice(named));
      const line = addLine(`${(total - named).toLocaleString("en")} others`);
      bar(line, others ? share : sum(scaled.slice(named)), others ? TOKEN : "cut", sum(first.slice(named)));
      add(line, "span", {class: "number"}, others ? fixed(4)(share) : `cut by ${kept[named].rule}`);
    }
    const play = Math.exp(-sum(final.map((p, i) => p && p * Math.log(p / kept[i].number))));
    const rest = left > 1 && left <= named
      ? `, the last, ${quote(data.words[left - 1])}, ${fixed(4)(final[left - 1])}` : "";
    const free = play < 100 ? fixed(1)(play) : Math.round(play).toLocaleString("en");
    says.textContent = `Temperature ${fixed(1)(temperature.value)}: ${plural(left, noun)} left of ` +
      `${total.toLocaleString("en")}; the first, ${quote(data.words[0])}, has ${fixed(2)(final[0])}${rest}. As free ` +
      `a choice as among ${free} equally likely ${noun}s. Dashed: temperature 1, nothing cut.`;
  }

  function addLine(word) {
    const line = add(lines, "div", {class: "line"});
    line.style.gridTemplateColumns = "84px 1fr 96px";
    add(line, "span", {class: "word"}, word);
    return line;
  }
  redraw();
};

// kind: attention
// One query's weights. data: words; queries, keys, values, a vector per word; scale, by which scores are multiplied;
// word, the one that asks at first.
kinds.attention = (card, data) => {
  const width = data.queries[0].length, controls = row(card), turning = row(card);
  const word = choice(controls, "Which word asks?", data.words, data.word, () => { reset(); redraw(); });
  const parts = range(width).map(i =>
    slider(turning, `query, number ${i + 1}`, steps(-3, 3, 0.01), 0, redraw, fixed(2)));
  const lines = add(card, "div"), says = announcer(card);
  const reset = () => parts.forEach((part, i) => part.set(data.queries[word.value][i]));

  function chips(parent, numbers, colour, digits = 2) {
    const span = add(parent, "span", {class: "vector"});
    for (const number of numbers)
      add(span, "span", {class: "chip number"}, fixed(digits)(number)).style.background = colour;
  }

  function redraw() {
    const query = parts.map(part => part.value), scores = data.keys.map(key => dot(query, key) * data.scale);
    const powers = scores.map(score => Math.exp(score - Math.max(...scores)));
    const weights = powers.map(power => power / sum(powers));
    const context = data.values[0].map((_, i) => dot(weights, data.values.map(value => value[i])));
    lines.replaceChildren();
    const wide = card.clientWidth > 620, shown = fixed(wide ? 4 : 2), chipWidth = Math.max(60, 39 * width);
    const columns = wide ? `72px ${chipWidth}px 60px 1fr 52px` : `60px ${chipWidth}px 40px 1fr 32px`;
    const addLine = cells => {
      const line = add(lines, "div", {class: "line"});
      line.style.gridTemplateColumns = columns;
      line.style.gap = "2px 6px";
      cells(line);
    };
    addLine(line => ["word", "its key", "score", "weight"].forEach(title => add(line, "b", {}, title)));
    data.words.forEach((name, i) => addLine(line => {
      add(line, "span", {class: "word"}, name).style.fontWeight = i === word.value ? "bold" : "";
      chips(line, data.keys[i], KEY);
      add(line, "span", {class: "number"}, shown(scores[i]));
      bar(line, weights[i], QUERY, 1 / data.words.length);
      add(line, "span", {class: "number"}, shown(weights[i]));
    }));
    const most = weights.indexOf(Math.max(...weights)), least = weights.indexOf(Math.min(...weights));
    const terms = query.map((x, i) => `${fixed(2)(x)} · ${fixed(2)(data.keys[most][i])}`).join(" + ");
    const sumLine = add(lines, "p", {class: "note"}, "Context vector, the values averaged with these weights: ");
    chips(sumLine, context, VALUE, 4);
    const own = query.every((x, i) => Math.abs(x - data.queries[word.value][i]) < 0.005);
    says.textContent = `${own ? quote(data.words[word.value]) : "Your query"} gives most weight to ` +
      `${own && most === word.value ? "itself" : quote(data.words[most])}, ${fixed(2)(weights[most])}: score ${terms}` +
      `${data.scale === 1 ? "" : `, times ${fixed(2)(data.scale)},`} = ${fixed(4)(scores[most])}. Least: ` +
      `${quote(data.words[least])}, ${fixed(2)(weights[least])}. Dashed: the same weight for all, ` +
      `${fixed(2)(1 / data.words.length)}.`;
  }
  reset();
  onWidth(card, redraw);
  redraw();
};

// kind: heads
// Heads of a trained model over a sentence, as arcs. data: tokens; heads, {name: rows of weights, each as long as its
// place in the sentence}; word and head, shown at first.
kinds.heads = (card, data) => {
  const names = Object.keys(data.heads);
  const head = choice(row(card), "Which head?", names, data.head, redraw);
  const stage = add(card, "div");
  const word = choice(stage, "Which word looks back? (arrow keys go along the sentence)", data.tokens, data.word,
                      redraw);
  const says = announcer(card), svg = add(stage, "svg", {"aria-hidden": "true"});
  stage.style.cssText = "position: relative";
  svg.style.cssText = "position: absolute; left: 0; top: 0; pointer-events: none";
  word.group.style.position = "relative";
  const numbers = word.boxes.map(() => add(stage, "span", {class: "number"}));
  for (const number of numbers) number.style.position = "absolute";

  // The sentence stands in one line where there is room, else one word below the other.
  function lay() {
    Object.assign(word.group.style, {flexWrap: "nowrap", flexDirection: "row", alignItems: "start",
                                     padding: "150px 0 24px"});
    word.group.firstChild.style.cssText = "position: absolute; left: 0; top: 0";
    const wide = word.group.scrollWidth <= stage.clientWidth;
    if (!wide) Object.assign(word.group.style, {flexDirection: "column", padding: "50px 0 0 160px"});
    svg.setAttribute("width", stage.clientWidth);
    svg.setAttribute("height", stage.clientHeight);
    return wide;
  }

  function redraw() {
    const wide = lay(), weights = data.heads[names[head.value]], chosen = word.value;
    const ends = word.boxes.map(box => wide ? [box.offsetLeft + box.offsetWidth / 2, box.offsetTop]
                                            : [box.offsetLeft, box.offsetTop + box.offsetHeight / 2]);
    svg.replaceChildren();
    const arc = (from, to, weight, colour) => {
      const [[ax, ay], [bx, by]] = [ends[from], ends[to]], far = Math.abs(from - to), most = data.tokens.length - 1;
      const out = from === to ? 22 : 26 + 100 * far / most, side = from === to ? 12 : 0;
      const points = wide
        ? [[ax - side, ay], [ax - side, ay - 1.3 * out], [bx + side, by - 1.3 * out], [bx + side, by]]
        : [[ax, ay - side], [ax - 1.3 * out, ay - side], [bx - 1.3 * out, by + side], [bx, by + side]];
      add(svg, "path", {d: `M${points[0]}C${points.slice(1).join(" ")}`, fill: "none", stroke: colour,
                        "stroke-width": colour === QUERY ? 1 + 11 * weight : 3 * weight});
    };
    weights.forEach((line, i) => line.forEach((weight, j) => {
      if (i !== chosen && weight >= 0.2) arc(i, j, weight, "#aaaaaa");
    }));
    weights[chosen].forEach((weight, j) => { if (weight >= 0.01) arc(chosen, j, weight, QUERY); });
    word.boxes.forEach((box, j) => {
      const weight = weights[chosen][j] ?? 0, chip = numbers[j];
      box.style.background = j === chosen ? "" : weight >= 0.01 ? mix(KEY, weight) : "#fff";
      box.style.borderColor = j > chosen ? "#ccc" : "";
      chip.textContent = j > chosen || weight < 0.005 ? "" : fixed(2)(weight);
      chip.style.left = `${wide ? box.offsetLeft + box.offsetWidth / 2 - 15 : box.offsetLeft + box.offsetWidth + 8}px`;
      chip.style.top = `${wide ? box.offsetTop + box.offsetHeight + 2 : box.offsetTop + 2}px`;
    });
    const order = range(chosen + 1).sort((a, b) => weights[chosen][b] - weights[chosen][a]).slice(0, 3)
      .filter(j => weights[chosen][j] >= 0.01);
    says.textContent = `In the head “${names[head.value]}”, ${quote(data.tokens[chosen])} (word ${chosen + 1} of ` +
      `${data.tokens.length}) looks at ` + order.map(j => quote(data.tokens[j]) + (j === chosen ? " (itself) " : " ") +
      fixed(2)(weights[chosen][j])).join(", ") + (chosen === 0 ? ": nothing stands before it." :
      `. Even weights would be ${fixed(2)(1 / (chosen + 1))}. Grey: the other words' weights from 0.2 on.`);
  }

  // A colour thinned with white, the more so the smaller the weight.
  function mix(colour, weight) {
    const parts = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16)), share = 0.15 + 0.85 * weight;
    return `rgb(${parts.map(part => Math.round(255 + (part - 255) * share)).join(" ")})`;
  }
  onWidth(card, redraw);
  redraw();
};

// kind: windows
// Windows with length and stride. data: tokens and ids; length and stride at first.
kinds.windows = (card, data) => {
  const n = data.tokens.length, controls = row(card);
  const length = slider(controls, "length", range(8, 1), data.length, redraw);
  const stride = slider(controls, "stride", range(8, 1), data.stride, redraw);
  const which = slider(controls, "look at window", [0], 0, redraw);
  const legend = add(card, "p", {class: "note"}), stage = add(card, "div"), says = announcer(card);
  const exercises = add(card, "div");
  for (const [colour, text] of [[TOKEN, "inputs"], [LOSS, "targets, one place further on"]]) {
    add(legend, "span", {class: "chip"}).style.cssText = `background: ${colour}; width: 24px; height: 12px; padding: 0`;
    add(legend, "span", {}, ` ${text}   `).style.whiteSpace = "pre";
  }

  function redraw() {
    const starts = range(n).filter(start => start % stride.value === 0 && start + length.value < n);
    which.limit(range(starts.length));
    const use = range(n).map(i => starts.filter(start => i >= start && i < start + length.value).length);
    const unused = range(n).filter(i => !use[i] && !starts.some(start => i === start + length.value));
    const width = stage.clientWidth || 800, wide = width >= 58 * n + 76;
    const step = wide ? (width - 76) / n : 24, across = wide ? 27 : Math.min(40, (width - 132) / starts.length);
    const origin = wide ? 76 : 24, header = wide ? 46 : 128;
    const size = wide ? {width, height: header + across * starts.length + 4}
                      : {width: header + across * starts.length, height: origin + step * n};
    stage.replaceChildren();
    const svg = add(stage, "svg", {...size, "aria-hidden": "true"});
    const box = (along, side, long, thick, attributes) => add(svg, "rect", wide
      ? {x: along, y: side, width: long, height: thick, ...attributes}
      : {x: side, y: along, width: thick, height: long, ...attributes});
    data.tokens.forEach((token, i) => {
      const at = origin + i * step;
      if (unused.includes(i)) box(at + 1, wide ? 2 : 0, step - 2, wide ? 40 : 126,
                                  {fill: "#eee", stroke: EDGE, "stroke-dasharray": "4 3"});
      if (wide) {
        add(svg, "text", {x: at + step / 2, y: 18, "text-anchor": "middle"}, token);
        add(svg, "text", {x: at + step / 2, y: 37, "text-anchor": "middle"}, data.ids[i]);
      } else {
        add(svg, "text", {x: 2, y: at + 17}, token);
        add(svg, "text", {x: 122, y: at + 17, "text-anchor": "end"}, data.ids[i]);
      }
    });
    starts.forEach((start, number) => {
      const side = header + number * across, on = number === which.value, half = across / 2 - 2;
      if (wide) add(svg, "text", {x: 0, y: side + 17, ...(on ? {"font-weight": "bold"} : {})}, `window ${number}`);
      else if (across >= 20 || on) add(svg, "text", {x: side + across / 2, y: 16, "text-anchor": "middle"}, number);
      const look = colour => on ? {fill: colour, stroke: "#000"} : {fill: "#fff", stroke: colour, "stroke-width": 2};
      box(origin + start * step + 3, side + 2, length.value * step - 6, half, look(TOKEN));
      box(origin + (start + 1) * step + 3, side + 2 + half, length.value * step - 6, half, look(LOSS));
    });
    say(starts, use, unused);
  }

  function say(starts, use, unused) {
    exercises.replaceChildren();
    const start = starts[which.value], name = i => quote(data.tokens[i]);
    const text = from => quote(data.tokens.slice(from, from + length.value).join("").replaceAll("·", " "));
    add(exercises, "p", {class: "note"}, `Window ${which.value} sets ${plural(length.value, "exercise")}:`);
    for (const i of range(length.value, start)) {
      const line = add(exercises, "div");
      const chip = (j, colour) => { add(line, "span", {class: "chip"}, data.tokens[j]).style.background = colour; };
      line.style.margin = "3px 0";
      for (const j of range(i - start + 1, start)) chip(j, TOKEN);
      add(line, "span", {}, " → ");
      chip(i + 1, LOSS);
    }
    const shared = Math.max(0, length.value - stride.value), most = Math.max(...use);
    says.textContent = `Length ${length.value}, stride ${stride.value}: ${plural(starts.length, "window")}, ` +
      `${plural(starts.length * length.value, "target")}. Neighbours share ${plural(shared, "input")}; ` +
      (shared ? `a token is an input in up to ${most} of them. ` : "no token is an input twice. ") +
      (unused.length ? `In no window: ${unused.map(i => `${name(i)} (${data.ids[i]})`).join(", ")}.`
                     : "No token is left over.") +
      ` Window ${which.value} reads ${text(start)} and is to say ${text(start + 1)}.`;
  }
  onWidth(card, redraw);
  redraw();
};

// kind: merges
// Byte pair encoding, merge by merge. data: steps, for each the most frequent pairs, [left, right, count], of which the
// first is merged next; sample, a list of words; totals, the tokens of the whole text before each step, and after all.
kinds.merges = (card, data) => {
  const controls = row(card), last = data.steps.length;
  const done = slider(controls, "merges learned", range(last + 1), data.done, redraw);
  const refresh = backAndForth(controls, done, "◀ Undo", "Merge ▶");
  add(card, "p", {class: "note"}, "The beginning of the text, cut by them:");
  const text = add(card, "div");
  text.style.cssText = "display: flex; flex-wrap: wrap; gap: 3px; min-height: 96px; align-content: start";
  const lines = add(card, "div"), says = announcer(card);

  function glue(parts, [left, right]) {
    const glued = [];
    for (const part of parts) {
      if (glued.length && glued.at(-1) === left && part === right) glued.push(glued.pop() + part);
      else glued.push(part);
    }
    return glued;
  }

  function redraw() {
    const learned = data.steps.slice(0, done.value).map(pairs => pairs[0]), newest = learned.at(-1);
    const pieces = data.sample.flatMap(word => learned.reduce(glue, [...word]));
    const next = data.steps[done.value]?.[0], letters = sum(data.sample.map(word => [...word].length));
    refresh();
    text.replaceChildren();
    for (const piece of pieces) {
      const isNew = newest && piece === newest[0] + newest[1];
      const chip = add(text, "span", {class: "chip"}, piece);
      chip.style.background = isNew ? CHOSEN : [...piece].length > 1 ? TOKEN : "#fff";
      if (isNew) chip.style.color = "#fff";
    }
    lines.replaceChildren();
    add(lines, "p", {class: "note"}, next ? "The most frequent pairs of neighbours; the first will be merged:" : "");
    for (const [left, right, count] of data.steps[done.value] ?? []) {
      const line = add(lines, "div", {class: "line"});
      line.style.gridTemplateColumns = "96px 1fr 56px";
      add(line, "span", {class: "word"}, `${left} + ${right}`);
      bar(line, count / data.steps[0][0][2], left === next[0] && right === next[1] ? CHOSEN : TOKEN);
      add(line, "span", {class: "number"}, count.toLocaleString("en"));
    }
    const total = data.totals[done.value], share = Math.round(100 * total / data.totals[0]);
    const made = newest ? `The newest token is “${newest[0]}${newest[1]}”, from a pair that stood there ` +
      `${plural(newest[2], "time")}.` : "Every character is a token.";
    says.textContent = `${plural(done.value, "merge")}. ${made} This beginning: ${pieces.length} tokens for ` +
      `${plural(letters, "character")}. The whole text: ${total.toLocaleString("en")} tokens, ${share}% of what it was.`;
  }
  redraw();
};

// kind: rope
// Pairs of numbers turned by position. data: query and key, an arrow per pair; per_place, radians per pair; places, the
// last place of the key; distances, the largest distance; place and distance at first.
kinds.rope = (card, data) => {
  const controls = row(card), pairs = data.per_place.length;
  const place = slider(controls, "place of the key", range(data.places + 1), data.place, redraw);
  const distance = slider(controls, "distance of the query from it", range(data.distances + 1), data.distance, redraw);
  const circles = row(card), stage = add(card, "div"), says = announcer(card);
  const turn = ([x, y], angle) =>
    [x * Math.cos(angle) - y * Math.sin(angle), x * Math.sin(angle) + y * Math.cos(angle)];
  const scores = (key, gap) => data.per_place.map((angle, i) =>
    dot(turn(data.query[i], (key + gap) * angle), turn(data.key[i], key * angle)));

  function arrow(svg, [x, y], colour, more = {}) {
    const long = Math.hypot(x, y) || 1, [ux, uy] = [x / long, y / long], at = (a, b) => `${64 + 56 * a} ${64 - 56 * b}`;
    add(svg, "path", {d: `M${at(0, 0)}L${at(x, y)}`, stroke: colour, "stroke-width": 3, fill: "none", ...more});
    add(svg, "path", {d: `M${at(x, y)}L${at(x - .2 * ux - .1 * uy, y - .2 * uy + .1 * ux)}L` +
                         `${at(x - .2 * ux + .1 * uy, y - .2 * uy - .1 * ux)}Z`, fill: colour});
  }

  let last = null, note = "";

  // What the last move did to the score; a new width of the page is no move.
  function compare(at, gap, score) {
    if (last && (last.at !== at || last.gap !== gap)) {
      const same = Math.abs(score - last.score) < 5e-4;
      note = same ? " The last move did not change the score."
                  : ` Before the last move it was ${fixed(3)(last.score)}.`;
    }
    last = {at, gap, score};
  }

  function redraw() {
    const at = place.value, gap = distance.value, now = scores(at, gap), score = sum(now);
    compare(at, gap, score);
    circles.replaceChildren();
    for (const i of range(pairs)) {
      const cell = add(circles, "div"), svg = add(cell, "svg", {width: 128, height: 128, "aria-hidden": "true"});
      const angle = data.per_place[i];
      cell.style.cssText = "flex: 1 1 150px";
      add(svg, "circle", {cx: 64, cy: 64, r: 56, fill: "#fff", stroke: TOKEN});
      for (const [arrowAtZero, colour] of [[data.query[i], QUERY], [data.key[i], KEY]]) {
        const [x, y] = arrowAtZero;
        add(svg, "path", {d: `M64 64L${64 + 56 * x} ${64 - 56 * y}`, stroke: colour, "stroke-dasharray": "3 4",
                          "stroke-width": 1.5});
      }
      arrow(svg, turn(data.key[i], at * angle), KEY);
      arrow(svg, turn(data.query[i], (at + gap) * angle), QUERY);
      add(cell, "b", {}, `pair ${i}`);
      add(cell, "div", {}, `${+(angle * 180 / Math.PI).toPrecision(2)}° a place`);
      add(cell, "div", {class: "number"}, `score ${fixed(2)(now[i])}`);
    }
    const width = stage.clientWidth || 600, all = range(data.distances + 1).map(d => sum(scores(at, d)));
    stage.replaceChildren();
    const top = Math.ceil(Math.max(...all.map(Math.abs)));
    const {svg, px, py, line} = chart(stage, width, 190,
      {limits: [0, data.distances], ticks: steps(0, data.distances, data.distances / 4), name: "distance"},
      {limits: [-top, top], ticks: [-top, 0, top]});
    add(svg, "text", {x: 60, y: 20}, "score, all pairs added up");
    line([[0, 0], [data.distances, 0]], TOKEN, {"stroke-width": 1});
    line(all.map((value, d) => [d, value]), POSITION);
    add(svg, "circle", {cx: px(gap), cy: py(score), r: 6, fill: POSITION, stroke: "#000"});
    says.textContent = `Key (orange) at place ${at}, query (blue) at place ${at + gap}, distance ${gap}: score ` +
      `${now.map(fixed(2)).join(" + ").replaceAll("+ -", "− ")} = ${fixed(3)(score)}.${note} ` +
      "Dashed: the arrows at place 0.";
  }
  onWidth(card, redraw);
  redraw();
};

// kind: schedule
// A learning-rate schedule and what comes of it: one weight with the loss w²/2 and noisy gradients. data: total, the
// steps; peaks, the rates to choose from; initial, the first rate as a share of the peak; distance, where the weight
// starts; rival, the best constant rate; start, {shape, peak, warmup, floor}.
kinds.schedule = (card, data) => {
  const shapes = {
    "constant": () => 1,
    "half cosine": progress => (1 + Math.cos(Math.PI * progress)) / 2,
    "straight line": progress => 1 - progress,
    "flat, then down": progress => Math.min(1, (1 - progress) / 0.3),
  };
  const names = Object.keys(shapes), controls = row(card), total = data.total;
  const shape = choice(controls, "Shape after the warmup", names, names.indexOf(data.start.shape), redraw);
  const more = row(card);
  const peak = slider(more, "peak rate", data.peaks, data.start.peak, redraw);
  const warmup = slider(more, "steps of warmup", range(total + 1), data.start.warmup, redraw);
  const floor = slider(more, "floor, share of peak", steps(0, 1, 0.05), data.start.floor, redraw, fixed(2));
  const step = slider(more, "look at step", range(total), data.start.step, redraw);
  const stage = add(card, "div"), says = announcer(card);

  function rates(how, highest, warm, lowest) {
    const first = data.initial * highest;
    return range(total).map(at => at < warm ? first + (highest - first) * at / warm
      : highest * (lowest + (1 - lowest) * how((at - warm) / (total - warm))));
  }

  // The typical distance from 0 after each step, exactly: a step scales the mean by 1 - rate and the variance by its
  // square, and adds rate².
  function distances(list) {
    let mean = data.distance, variance = 0;
    return list.map(rate => {
      mean *= 1 - rate;
      variance = (1 - rate) ** 2 * variance + rate ** 2;
      return Math.sqrt(mean ** 2 + variance);
    });
  }

  function redraw() {
    const list = rates(shapes[names[shape.value]], peak.value, warmup.value, floor.value), way = distances(list);
    const rival = distances(range(total).map(() => data.rival));
    const width = stage.clientWidth || 600, at = step.value, top = peak.value;
    const x = {limits: [0, total], ticks: steps(0, total, total / 4), name: "step"};
    stage.replaceChildren();
    stage.style.cssText = "display: flex; flex-wrap: wrap; gap: 8px";
    const each = width > 640 ? (width - 8) / 2 : width;
    const left = chart(stage, each, 220, x, {limits: [0, 1.1 * top], ticks: [0, +(top / 2).toPrecision(3), top]});
    add(left.svg, "text", {x: 60, y: 14}, "learning rate");
    left.line(list.map((rate, i) => [i, rate]), QUERY);
    const right = chart(stage, each, 220, x, {limits: [0.1, 10], log: true, ticks: [0.1, 1, 10]});
    add(right.svg, "text", {x: each - 14, y: 14, "text-anchor": "end"}, "typical distance from the goal");
    right.line(rival.map((value, i) => [i + 1, value]), EDGE, {"stroke-dasharray": "6 4", "stroke-width": 1.5});
    right.line(way.map((value, i) => [i + 1, value]), LOSS);
    for (const [{svg, px, py}, x, y] of [[left, at, list[at]], [right, at + 1, way[at]]])
      add(svg, "circle", {cx: px(x), cy: py(y), r: 5, fill: "#fff", stroke: "#000", "stroke-width": 2});
    const end = way.at(-1), best = rival.at(-1), digits = rate => String(+rate.toPrecision(3));
    says.textContent = `Step ${at}: rate ${digits(list[at])}, and after it ${fixed(3)(way[at])} from the goal. First ` +
      `rate ${digits(list[0])}, highest ${digits(Math.max(...list))}, last ${digits(list[total - 1])}. At the end ` +
      `${fixed(3)(end)}: ${end < best - 5e-4 ? "closer than" : end > best + 5e-4 ? "farther than" : "the same as"} ` +
      `the best constant rate, ${data.rival} (dashed), with ${fixed(3)(best)}.`;
  }
  onWidth(card, redraw);
  redraw();
};

// kind: loop
// The next-token loop, stage by stage. data: start, the first tokens; ways, {name: steps}, each step {top: [[word,
// probability], ...], count, others, dice, drawn: [word, probability], from and to: the drawn word's part of the line}.
kinds.loop = (card, data) => {
  const names = Object.keys(data.ways), longest = Math.max(...Object.values(data.ways).map(way => way.length));
  const way = choice(row(card), "How is the next word chosen?", names, data.way, redraw), controls = row(card);
  const stage = slider(controls, "stage", range(3 * longest + 1), data.stage, redraw, s => `${s} of ${3 * longest}`);
  const refresh = backAndForth(controls, stage, "◀ Back", "Next ▶");
  const text = add(card, "div"), lines = add(card, "div"), says = announcer(card);
  text.style.cssText = "display: flex; flex-wrap: wrap; gap: 4px; align-content: start; min-height: 66px; " +
    "padding: 6px 0; border-bottom: 1px solid #bbb";
  lines.style.cssText = "min-height: 306px";
  let chosen = null;  // the line of the drawn word, from which it flies

  function redraw() {
    const list = data.ways[names[way.value]], at = Math.floor(stage.value / 3), step = list[at];
    const phase = stage.value % 3;  // 0: the text goes in, 1: the bars, 2: the draw
    const words = [...data.start, ...list.slice(0, at).map(item => item.drawn[0])];
    const from = phase === 0 && chosen?.isConnected ? chosen.getBoundingClientRect() : null;
    refresh();
    text.replaceChildren();
    words.forEach((word, i) => {
      const chip = add(text, "span", {class: "chip"}, word);
      chip.style.background = i < data.start.length ? "#fff" : TOKEN;
    });
    add(text, "span", {class: "chip"}, " ? ").style.borderStyle = "dashed";
    if (from && at) fly(text.children[words.length - 1], from);
    lines.replaceChildren();
    chosen = null;
    if (phase && step) showStep(step, phase);
    else if (step) for (const part of ["↓", "the model", "↓  a probability for every word: press Next"])
      add(lines, "div", {class: part === "the model" ? "stage model" : "stage"}, part);
    says.textContent = say(words, step, phase, at);
  }

  function showStep(step, phase) {
    const most = step.top[0][1], names = step.top.map(item => item[0]), [drawn] = step.drawn;
    const more = step.count - names.length;
    const entries = more ? [...step.top, [plural(more, "other"), step.others]] : step.top;
    entries.forEach(([word, share], i) => {
      const line = add(lines, "div", {class: "line"});
      const hit = phase === 2 && (i < names.length ? word === drawn : !names.includes(drawn));
      line.style.gridTemplateColumns = "110px 1fr 46px";
      const label = add(line, "span", {class: "word"}, hit && i >= names.length ? `others: ${drawn}` : word);
      bar(line, Math.min(1, share / Math.max(most, step.others)), hit ? CHOSEN : i < names.length ? CHANCE : TOKEN);
      add(line, "span", {class: "number"}, fixed(3)(share));
      if (hit) { label.style.fontWeight = "bold"; chosen = label; }
    });
    if (phase === 2 && step.dice !== null) drawLine(entries, step);
  }

  // All probabilities end to end from 0 to 1, and where the dice fell.
  function drawLine(entries, step) {
    const width = lines.clientWidth || 600, svg = add(lines, "svg", {width, height: 62, "aria-hidden": "true"});
    let x = 0;
    for (const [i, [, share]] of entries.entries()) {
      add(svg, "rect", {x: x * width, y: 4, width: Math.max(0, share * width), height: 20, stroke: EDGE,
                        fill: i < step.top.length ? CHANCE : TOKEN});
      x += share;
    }
    add(svg, "rect", {x: step.from * width, y: 4, width: Math.max(2, (step.to - step.from) * width), height: 20,
                      fill: CHOSEN, stroke: "#000"});
    add(svg, "path", {d: `M${step.dice * width} 22l-7 16h14Z`, fill: "#000"});
    const anchor = step.dice < 0.2 ? "start" : step.dice > 0.8 ? "end" : "middle";
    add(svg, "text", {x: step.dice * width, y: 55, "text-anchor": anchor}, `dice: ${fixed(3)(step.dice)}`);
  }

  function say(words, step, phase, at) {
    if (!step) return `The loop has run ${plural(at, "time")}: ${plural(words.length, "word")} of text.`;
    const [drawn, share] = step.drawn, last = quote(words.at(-1));
    if (phase === 0) return (at ? `${last} has moved to the end of the text, and the loop begins again. ` : "") +
      `${plural(words.length, "word")} of text go into the model.`;
    if (phase === 1) return `The model gives ${plural(step.count, "word")} a probability. ${quote(step.top[0][0])} ` +
      `leads with ${fixed(3)(step.top[0][1])}.`;
    return step.dice === null ? `No dice: the most probable word is taken, ${quote(drawn)}.` :
      `The dice shows ${fixed(3)(step.dice)}. All bars end to end, that lies between ${fixed(3)(step.from)} and ` +
      `${fixed(3)(step.to)}: ${quote(drawn)}, which had ${fixed(3)(share)}.`;
  }

  function fly(chip, from) {
    const to = chip.getBoundingClientRect();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches)
      chip.animate([{transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)`}, {transform: "none"}],
                   600);
  }
  onWidth(card, redraw);
  redraw();
};

// kind: start
// Find every picture of the kinds at hand that has not started yet, also in shadow roots, and start it. Paper shows the
// still picture, through the slot.
function waiting(root) {
  const found = [...root.querySelectorAll(".llm-picture:not([data-started])")]
    .filter(node => node.dataset.kind in kinds);
  for (const node of root.querySelectorAll("*")) if (node.shadowRoot) found.push(...waiting(node.shadowRoot));
  return found;
}

for (const node of waiting(document)) {
  node.dataset.started = "";
  node.setAttribute("data-lm-suppress-shortcuts", "true");  // JupyterLab would take the arrow keys for itself
  const root = node.attachShadow({mode: "open"});
  add(root, "style", {}, STYLE);
  add(root, "slot");
  kinds[node.dataset.kind](add(root, "div", {class: "card"}), JSON.parse(node.dataset.values));
}
})();
