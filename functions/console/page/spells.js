// Spells: the list, one with its form, its versions and what is different between them.

import { call, get, post } from "./api.js";
import { Field, fieldsOf, isShown, toTyped, toValue } from "./fields.js";
import {
  Copy, Dialog, Drawing, Head, Json, Loading, More, Pages, Time, Trouble, html, place, toolNamed, useAction,
  useKey, useLoaded, useNow, useRested, useState, useTools,
} from "./parts.js";
import { count, duration, pretty, usd } from "./words.js";

const REST_MS = 30_000;

export function Spells({ cursor }) {
  const { data, problem, loading, reload } = useLoaded(signal => get("v1/spells", { cursor, limit: 24 }, { signal }), [cursor]);
  const now = useNow(REST_MS);
  return html`
    <${Head} title="Spells"><a class="button primary" href="#/spells/new">New spell</a><//>
    <${Trouble} problem=${problem} retry=${reload} />
    ${!data && loading && html`<${Loading} />`}
    ${data?.spells.length === 0 && html`
      <div class="empty"><p>There are no spells yet. A spell is a list of steps, each a tool that makes text, pictures or video.</p>
        <p><a class="button primary" href="#/spells/new">Compose the first one</a></p></div>`}
    <ul class="grid">${data?.spells.map(spell => html`
      <li class="card" key=${spell.spellId}>
        <h2><a href=${`#/spells/${spell.spellId}`}>${spell.name}</a></h2>
        <p class="quiet">Version ${spell.version} · ${count(spell.usageCount, "cast", "casts")} · ${spell.visibility}</p>
        <p class="quiet">Changed <${Time} at=${spell.updatedAt} now=${now} /></p>
      </li>`)}</ul>
    ${data && html`<${Pages} cursor=${cursor} next=${data.cursor} to=${cursor => place("#/spells", { cursor })} />`}`;
}

export function SpellView({ spellId, from, version }) {
  const { data: spell, problem, reload } = useLoaded(signal => get(`v1/spells/${spellId}`, {}, { signal }), [spellId]);
  const earlier = useLoaded(signal => from ? get(`v1/casts/${from}`, {}, { signal }) : Promise.resolve(null), [from]);
  const tools = useTools();
  const [deleting, ask] = useState(false);
  const [remove, busy, notDeleted] = useAction(async () => { await call("DELETE", `v1/spells/${spellId}`); location.hash = "#/spells"; });
  if (!spell || !tools.data || (from && earlier.loading)) return html`
    <${Head} title="A spell" />
    ${problem ? html`<${Trouble} problem=${problem} retry=${problem.status === 404 ? null : reload} back=${["#/spells", "All spells"]} />`
      : tools.problem ? html`<${Trouble} problem=${tools.problem} retry=${tools.reload} />` : html`<${Loading} />`}`;
  return html`
    <${Head} title=${spell.name}>
      <a class="button" href=${place("#/casts", { spell: spell.spellId })}>Its casts</a>
      <a class="button" href=${`#/spells/${spellId}/edit`}>Edit</a>
      <button type="button" onClick=${() => ask(true)}>Delete…</button>
    <//>
    <p class="facts"><span><code>${spell.slug}</code> <${Copy} text=${spell.slug} label="Copy the name for the API" /></span><span>Version ${spell.version}</span><span>${spell.visibility}</span><span>Changed <${Time} at=${spell.updatedAt} /></span></p>
    ${spell.description && html`<p class="prose">${spell.description}</p>`}
    <div class="columns">
      <section aria-labelledby="cast-it" class="card"><h2 id="cast-it">Cast it</h2>
        <${CastForm} key=${`${spellId} ${from}`} spell=${spell} tools=${tools.data} inputs=${earlier.data?.inputs ?? {}} /></section>
      <section aria-labelledby="its-steps" class="card"><h2 id="its-steps">Steps</h2>
        <${Drawing} path=${`v1/spells/${spellId}/graph`} query=${{ version: spell.version }} label=${described(spell, tools.data)} /></section>
    </div>
    <section aria-labelledby="versions"><h2 id="versions">Versions</h2><${Versions} spell=${spell} chosen=${version} /></section>
    <${More} summary="As the API has it">${() => html`<${Json} value=${spell} />`}<//>
    ${deleting && html`
      <${Dialog} title="Delete the spell?" close=${() => ask(false)} submit=${remove} label="Delete" busy=${busy} problem=${notDeleted}>
        <p>“${spell.name}” and all its versions go. Its casts stay, and can be looked at.</p><//>`}`;
}

const described = (spell, tools) => `The steps: ${spell.steps.map(step => toolNamed(tools, step.toolIdentifier)?.displayName ?? step.toolIdentifier).join(", then ")}`;

/** What the caster may or must give: `{name, label, field}`. */
function asked(spell, tools) {
  const found = [];
  const exposed = new Set();
  const steps = spell.steps.map((step, index) => ({ ...step, key: String(step.id ?? step.stepId ?? index + 1) }));
  for (const { nodeId, paramKey, defaultValue } of spell.exposedInputs ?? []) {
    const step = steps.find(({ key }) => key === String(nodeId));
    const field = toolNamed(tools, step?.toolIdentifier)?.inputSchema?.[paramKey] ?? { required: false };
    exposed.add(`${nodeId} ${paramKey}`);
    found.push({ name: `${nodeId}_${paramKey}`, plain: paramKey, label: `${paramKey}`, of: nodeId, field: { ...field, default: defaultValue ?? field.default } });
  }
  for (const step of steps.slice(0, 1)) {
    const tool = toolNamed(tools, step.toolIdentifier);
    const given = { ...step.parameterMappings, ...step.parameterOverrides };
    const values = Object.fromEntries(Object.entries(given).map(([key, mapping]) => [key, mapping?.value ?? mapping]));
    for (const [key, field] of fieldsOf(tool)) {
      if (field.required === false || key in given || exposed.has(`${step.key} ${key}`) || field.default !== undefined) continue;
      if (isShown(field, tool, values)) found.push({ name: key, plain: key, label: key, of: step.key, field });
    }
  }
  return found;
}

function CastForm({ spell, tools, inputs }) {
  const fields = asked(spell, tools);
  const known = new Set(fields.flatMap(({ name, plain }) => [name, plain]));
  const others = Object.fromEntries(Object.entries(inputs).filter(([name]) => !known.has(name)));
  const [typed, set] = useState(Object.fromEntries(fields.map(({ name, plain }) => [name, toTyped(inputs[name] ?? inputs[plain])])));
  const [more, setMore] = useState(Object.keys(others).length ? pretty(others) : "");
  const [budget, setBudget] = useState("");
  const keyOf = useKey();
  const given = Object.fromEntries(fields.map(({ name, field }) => [name, toValue(field, typed[name])]).filter(([, value]) => value !== undefined));
  const added = read(more);
  const all = { ...added, ...given };
  const [act, busy, problem] = useAction(async () => {
    const body = { spell: spell.spellId, version: spell.version, inputs: all, ...(budget ? { budgetUsd: budget } : {}) };
    const cast = await post("v1/casts", body, { headers: { "Idempotency-Key": keyOf(body) } });
    location.hash = `#/casts/${cast.castId}`;
  });
  return html`
    <form onSubmit=${event => { event.preventDefault(); if (added) act(); }}>
      ${fields.length === 0 && html`<p class="quiet">This spell asks for nothing.</p>`}
      ${fields.map(({ name, label, of, field }) => html`
        <${Field} key=${name} id=${`input-${name}`} name=${html`${label} <span class="quiet">${of}</span>`} field=${field}
          required=${field.required !== false && field.default === undefined} optional=${field.required === false}
          typed=${typed[name]} change=${value => set(old => ({ ...old, [name]: value }))} />`)}
      <details open=${Object.keys(others).length > 0}><summary>Budget and other inputs</summary>
        <${Field} id="budget" name="Budget in US dollars" optional hint="A step that would pass it fails before it is asked for.">
          <input id="budget" inputmode="decimal" placeholder="1.50" value=${budget} aria-describedby="budget-about" onInput=${event => setBudget(event.currentTarget.value.trim())} /><//>
        <${Field} id="more" name="Other inputs" optional hint="A JSON object of names and values." messages=${added ? [] : ["This is no JSON object."]}>
          <textarea id="more" class="code" rows="3" value=${more} aria-describedby="more-about" placeholder="{}" onInput=${event => setMore(event.currentTarget.value)}></textarea><//>
      </details>
      <${Quote} spell=${spell} inputs=${all} tools=${tools} />
      <${Trouble} problem=${problem} />
      <p><button class="primary" disabled=${busy || !added}>${busy ? "One moment…" : "Cast"}</button></p>
    </form>`;
}

function read(text) {
  try {
    const value = JSON.parse(text.trim() || "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function Quote({ spell, inputs }) {
  const rested = useRested(inputs, 400);
  const { data, problem } = useLoaded(signal => post(`v1/spells/${spell.spellId}/quote`, { inputs: rested }, { signal }), [JSON.stringify(rested), spell.version]);
  if (problem) return html`<p class="about">What it will cost is not known: ${problem.message}</p>`;
  return html`<p class="quote" role="status">${data
    ? html`Expected: <strong>${usd(data.totalCostUsd)}</strong>, ${duration(data.totalRuntimeMs)}` : "Asking what it will cost…"}</p>`;
}

function Versions({ spell, chosen }) {
  const newest = spell.version;
  const [left, right] = chosen ?? [Math.max(1, newest - 1), newest];
  const both = useLoaded(signal => Promise.all([left, right].map(version => get(`v1/spells/${spell.spellId}`, { version }, { signal }))),
    [spell.spellId, left, right, newest]);
  if (newest === 1) return html`<p class="quiet">This is the first version. What is different is shown here once there is another.</p>`;
  const go = (a, b) => { location.replace(`#/spells/${spell.spellId}?versions=${a}-${b}`); };
  const choose = (label, value, change) => html`
    <label>${label} <select value=${value} onChange=${event => change(Number(event.currentTarget.value))}>
      ${Array.from({ length: newest }, (_, back) => html`<option value=${newest - back}>${newest - back}</option>`)}</select></label>`;
  return html`
    <p class="line">${choose("From version", left, value => go(value, right))} ${choose("to version", right, value => go(left, value))}</p>
    <${Trouble} problem=${both.problem} retry=${both.reload} />
    ${both.data && html`<${Difference} before=${both.data[0]} after=${both.data[1]} />`}`;
}

const CONTENT = ["name", "description", "steps", "exposedInputs", "connections", "tags"];
const lines = spell => pretty(Object.fromEntries(CONTENT.filter(key => spell[key] !== undefined).map(key => [key, spell[key]]))).split("\n");

function Difference({ before, after }) {
  const changes = difference(lines(before), lines(after));
  if (changes.every(([sign]) => sign === " ")) return html`<p class="quiet">There is no difference.</p>`;
  const near = changes.map((_, place) => changes.slice(Math.max(0, place - 3), place + 4).some(([sign]) => sign !== " "));
  return html`<pre class="json diff" tabindex="0" aria-label="Difference">${changes.map(([sign, line], place) => near[place]
    ? html`<span class=${sign === "+" ? "added" : sign === "-" ? "removed" : ""}>${sign} ${line}${"\n"}</span>`
    : near[place - 1] ? html`<span class="quiet">⋯${"\n"}</span>` : null)}</pre>`;
}

/** `[[sign, line]]` by the longest common part, where that is not too much to look for. */
function difference(before, after) {
  let start = 0, end = 0;
  while (start < Math.min(before.length, after.length) && before[start] === after[start]) start++;
  while (end < Math.min(before.length, after.length) - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const a = before.slice(start, before.length - end), b = after.slice(start, after.length - end);
  const common = [];
  if (a.length * b.length <= 4_000_000) {
    const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    for (let i = 0, j = 0; i < a.length && j < b.length;) {
      if (a[i] === b[j]) common.push([i++, j++]);
      else if (longest[i + 1][j] >= longest[i][j + 1]) i++;
      else j++;
    }
  }
  const found = before.slice(0, start).map(line => [" ", line]);
  let i = 0, j = 0;
  for (const [at, to] of [...common, [a.length, b.length]]) {
    while (i < at) found.push(["-", a[i++]]);
    while (j < to) found.push(["+", b[j++]]);
    if (i < a.length && j < b.length) { found.push([" ", a[i++]]); j++; }
  }
  return [...found, ...before.slice(before.length - end).map(line => [" ", line])];
}
