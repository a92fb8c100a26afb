// Composing a spell: tools in an order, forms made from their input schemas, wires, and what the linter says as one types.

import { call, get, newKey, post, session } from "./api.js";
import { Control, MEDIA, fieldsOf, isShown, toTyped, toValue } from "./fields.js";
import {
  Faults, Head, Loading, Trouble, html, toolNamed, useAction, useEffect, useLoaded, useNewestTools, useRef, useRested, useState,
} from "./parts.js";

const LINT_MS = 350;
const OUT = "", FIXED = "fixed", ASKED = "asked";

export function Compose({ spellId }) {
  const spell = useLoaded(signal => spellId ? get(`v1/spells/${spellId}`, {}, { signal }) : Promise.resolve(null), [spellId]);
  const tools = useNewestTools();
  const title = spellId ? "Edit a spell" : "New spell";
  const problem = spell.problem ?? (tools.data ? null : tools.problem);
  if (problem) return html`<${Head} title=${title} /><${Trouble} problem=${problem} back=${["#/spells", "All spells"]}
    retry=${problem.status === 404 ? null : () => { spell.reload(); tools.reload(); }} />`;
  if (!tools.data || (spellId && !spell.data)) return html`<${Head} title=${title} /><${Loading} />`;
  return html`<${Editor} key=${spellId ?? "new"} title=${title} spell=${spell.data} tools=${tools.data} lookAgain=${tools.reload} />`;
}

// A draft's step: `{key, id, tool, inputs: {name: {from, typed, was}}, fallback, given}`. `key` is for the page only, and is
// what wires point at: an id may pass through another step's as one types. `given` is the step as it was saved, and `was`
// what of it makes the input: what is not touched is saved as it was.
function toDraft(spell, tools) {
  const ids = spell.steps.map((step, index) => String(step.id ?? step.stepId ?? index + 1));
  const gone = {};
  const wired = ({ nodeId, outputKey }) => {
    const index = ids.indexOf(String(nodeId));
    const key = index < 0 ? `no ${nodeId}` : String(index);
    if (index < 0) gone[key] = String(nodeId);
    return wire(key, outputKey);
  };
  const exposed = spell.exposedInputs?.map(item => {
    const index = ids.indexOf(String(item.nodeId));
    return { item, key: index < 0 ? null : String(index) };
  });
  const steps = spell.steps.map((step, index) => {
    const tool = toolNamed(tools, step.toolIdentifier);
    const inputs = {};
    for (const [name, override] of Object.entries(step.parameterOverrides ?? {})) {
      inputs[name] = { ...(override?.type === "nodeOutput" ? { from: wired(override) } : { from: FIXED, typed: toTyped(override) }), was: { override } };
    }
    for (const [name, mapping] of Object.entries(step.parameterMappings ?? {})) {
      inputs[name] ??= { ...(mapping.type === "nodeOutput" ? { from: wired(mapping) } : { from: FIXED, typed: toTyped(mapping.value) }), was: {} };
      inputs[name].was.mapping = mapping;
    }
    for (const { item: { paramKey, defaultValue }, key } of exposed ?? []) {
      if (key !== String(index)) continue;
      const old = inputs[paramKey];
      // What the caster may set has the author's value as its default.
      inputs[paramKey] = { from: ASKED, typed: defaultValue === undefined ? old?.from === FIXED ? old.typed : "" : toTyped(defaultValue), was: old?.was ?? {} };
    }
    for (const input of Object.values(inputs)) Object.assign(input.was, { from: input.from, typed: input.typed });
    return { key: String(index), id: ids[index], tool: tool?.toolId ?? step.toolIdentifier, inputs, fallback: idOf(step.fallbackTool, tools), given: step };
  });
  const { name, description, visibility, tags, connections } = spell;
  return { name, description: description ?? "", visibility, steps, gone, exposed, tags, connections };
}

const idOf = (name, tools) => toolNamed(tools, name)?.toolId ?? name ?? "";

const wire = (key, output) => JSON.stringify([key, output]);
const isWire = from => from.startsWith("[");
const isAsWas = ({ from, typed, was }) => was !== undefined && from === was.from && (typed ?? "") === (was.typed ?? "");

/** The id of the step that a wire comes from, though that is gone. */
const nodeOf = ({ steps, gone }, key) => steps.find(step => step.key === key)?.id ?? gone[key];

// What a tool does not declare is of the kind that it was.
const KINDS = { number: "number", boolean: "boolean", object: "any" };
function fieldOf(tool, name, input) {
  const value = input?.was?.override ?? input?.was?.mapping?.value;
  return tool?.inputSchema?.[name] ?? (KINDS[typeof value] && value !== null ? { type: KINDS[typeof value] } : {});
}

function toBody(draft, tools) {
  // The key of a saved step is its old place.
  const now = new Map(draft.steps.filter(({ given }) => given).map(({ key, id, given }) => [oldId(given, Number(key)), id]));
  // A wire that is as it was follows its step's new id, and nothing else of it changes.
  const followed = mapping => mapping?.type === "nodeOutput" && (now.get(String(mapping.nodeId)) ?? String(mapping.nodeId)) !== String(mapping.nodeId)
    ? { ...mapping, nodeId: now.get(String(mapping.nodeId)) } : mapping;
  const asked = (step, name, item) => {
    const { from, typed } = step.inputs[name] ?? {};
    if (from !== ASKED) return [];
    const nodeId = item && String(item.nodeId) === step.id ? item.nodeId : step.id;
    if (item && isAsWas(step.inputs[name])) return [{ ...item, nodeId }];
    const type = toolNamed(tools, step.tool)?.inputSchema?.[name]?.type;
    const value = toValue(fieldOf(toolNamed(tools, step.tool), name, step.inputs[name]), typed);
    const { defaultValue, ...rest } = item ?? {};
    return [{ ...(type ? { paramType: type } : {}), ...rest, nodeId, paramKey: name, ...(value === undefined ? {} : { defaultValue: value }) }];
  };
  const steps = draft.steps.map(({ id, tool: toolId, inputs, fallback, given }, index) => {
    const tool = toolNamed(tools, toolId);
    const { parameterMappings = {}, parameterOverrides = {}, fallbackTool, ...rest } = given ?? {};
    const mappings = {}, overrides = {};
    for (const [name, input] of Object.entries(inputs)) {
      const { from, typed, was } = input;
      if (isAsWas(input)) {
        if ("mapping" in was) mappings[name] = followed(was.mapping);
        if ("override" in was) overrides[name] = followed(was.override);
      } else if (isWire(from)) {
        const [key, outputKey] = JSON.parse(from);
        mappings[name] = { type: "nodeOutput", nodeId: nodeOf(draft, key), outputKey };
      } else if (from === FIXED) {
        const value = toValue(fieldOf(tool, name, input), typed);
        if (value !== undefined) mappings[name] = { type: "static", value };
      }
    }
    const body = given && oldId(given, index) === id ? rest : { ...without(rest, "stepId"), id };
    return {
      ...body, toolIdentifier: given?.toolIdentifier ?? toolId,
      ...(!given || given.parameterMappings || Object.keys(mappings).length ? { parameterMappings: mappings } : {}),
      ...(given?.parameterOverrides || Object.keys(overrides).length ? { parameterOverrides: overrides } : {}),
      ...(fallback !== idOf(fallbackTool, tools) ? fallback ? { fallbackTool: fallback } : {} : fallbackTool === undefined ? {} : { fallbackTool }),
    };
  });
  // Those that were exposed stay in their places.
  const known = new Set(draft.exposed?.map(({ key, item }) => `${key} ${item.paramKey}`));
  const exposedInputs = [
    ...(draft.exposed ?? []).flatMap(({ key, item }) => {
      const step = draft.steps.find(step => step.key === key);
      return key === null ? [item] : step ? asked(step, item.paramKey, item) : [];
    }),
    ...draft.steps.flatMap(step => Object.keys(step.inputs).filter(name => !known.has(`${step.key} ${name}`)).flatMap(name => asked(step, name))),
  ];
  const { name, description, visibility, tags, connections } = draft;
  return { name, description, visibility, steps, ...(draft.exposed || exposedInputs.length ? { exposedInputs } : {}), ...(tags ? { tags } : {}), ...(connections ? { connections } : {}) };
}

/** The id of a saved step, which is its place where it says none. */
const oldId = (given, index) => String(given.id ?? given.stepId ?? index + 1);

function without(record, name) {
  const { [name]: _, ...rest } = record;
  return rest;
}

/** What a step can be wired from: `[output key, kind]`. */
function outputsOf(tool) {
  const declared = Object.entries(tool?.outputSchema ?? {}).map(([key, { type }]) => MEDIA.includes(type) ? [type, type] : [key, type === "string" ? "text" : type]);
  if (declared.length) return [...new Map(declared)];
  const made = tool?.metadata?.outputType;
  return made && made !== "any" ? [[made, made]] : [["text", "text"], ["image", "image"], ["output", "any"]];
}

const takes = (field, kind) => {
  const type = field.type ?? "string";
  if (MEDIA.includes(type)) return kind === type || kind === "file" ? 2 : kind === "text" ? 1 : 0;
  return kind === "text" && ["string", "text", "textany", "url"].includes(type) ? 2 : kind === "any" || type === "any" ? 1 : 0;
};

/** A new step: its main input is the last step's output where that fits, and otherwise asked of the caster. */
function newStep(tool, before, tools) {
  const made = (tool.metadata?.outputType ?? tool.category ?? "step").replace(/\W+/g, "-");
  let id = made;
  for (let number = 2; before.some(step => step.id === id); number++) id = `${made}-${number}`;
  const inputs = {};
  for (const [name, field] of fieldsOf(tool)) {
    if (field.required === false || field.default !== undefined) continue;
    const isMain = name === (tool.platformHints?.primaryInput ?? name);
    const source = isMain && before.length ? outputsOf(toolNamed(tools, before.at(-1).tool)).find(([, kind]) => takes(field, kind) === 2) : null;
    inputs[name] = source ? { from: wire(before.at(-1).key, source[0]) } : isMain && !before.length ? { from: ASKED, typed: "" } : { from: FIXED, typed: "" };
  }
  return { key: newKey(), id, tool: tool.toolId, inputs, fallback: "" };
}

// What is not saved yet is kept in the tab, as the key is: whoever goes elsewhere, or loads the page again, finds it again
// with the same key, and with no other.
const draftsOf = spell => `spellcast.draft.${session.holder}.${spell?.spellId ?? "new"}.`;
const keptIn = spell => `${draftsOf(spell)}${spell?.version ?? 0}`;

const kept = spell => JSON.parse(sessionStorage.getItem(keptIn(spell)));

function keep(spell, draft) {
  // What the tab has no room for stays on the page.
  try { sessionStorage.setItem(keptIn(spell), JSON.stringify(draft)); } catch { forget(spell); }
}

const forget = spell => sessionStorage.removeItem(keptIn(spell));

/** The newest of the drafts that were made of an earlier version than this: another one was saved since. */
function outdated(spell) {
  if (!spell) return null;
  const versions = Object.keys(sessionStorage).filter(name => name.startsWith(draftsOf(spell)))
    .map(name => Number(name.slice(draftsOf(spell).length))).filter(version => version < spell.version);
  return versions.length ? { ...spell, version: Math.max(...versions) } : null;
}

/** Gives the focus to what is there once the page was drawn again. */
const focusOn = find => setTimeout(() => find()?.focus());

function Editor({ title, spell, tools, lookAgain }) {
  const first = useRef(null), isLeft = useRef(false);
  const [isBack, come] = useState(() => kept(spell) !== null);
  const [draft, set] = useState(() => {
    const made = spell ? toDraft(spell, tools) : { name: "", description: "", visibility: "private", steps: [], gone: {} };
    first.current = JSON.stringify(made);
    return kept(spell) ?? made;
  });
  const [old, setOld] = useState(() => outdated(spell));
  const body = toBody(draft, tools);
  const changed = JSON.stringify(draft) !== first.current;
  const said = useLint(body, draft.steps.length > 0);
  useEffect(() => {
    if (isLeft.current) return;
    if (!changed) return forget(spell);
    keep(spell, draft);
    const ask = event => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [JSON.stringify(draft)]);
  // What was typed last may not have been kept yet.
  const leave = () => { isLeft.current = true; forget(spell); };
  const takeUp = () => { set(kept(old)); drop(); };
  const drop = () => { forget(old); setOld(outdated(spell)); };
  const startAnew = () => { set(JSON.parse(first.current)); come(false); };
  const [save, busy, problem] = useAction(async () => {
    const saved = spell ? await call("PUT", `v1/spells/${spell.spellId}`, { body }) : await post("v1/spells", body);
    leave();
    location.hash = `#/spells/${saved.spellId}`;
  });
  const change = changes => set(old => ({ ...old, ...changes }));
  const changeStep = (key, changes) => set(old => ({ ...old, steps: old.steps.map(step => step.key === key ? { ...step, ...changes } : step) }));
  const remove = ({ key, id }) => set(old => ({ ...old, steps: old.steps.filter(step => step.key !== key), gone: { ...old.gone, [key]: id } }));
  const move = (index, by) => set(old => {
    const steps = [...old.steps];
    steps.splice(index + by, 0, ...steps.splice(index, 1));
    return { ...old, steps };
  });
  const messages = said.messages ?? [];
  const isAbout = ({ path }, step, index) => path === `steps[${index}]` || path.startsWith(`steps[${index}].`) || isOfExposed(path, body, step.id);
  return html`
    <${Head} title=${title} />
    ${isBack && html`<p class="line" role="status">This is what you had not saved. <button type="button" class="small" onClick=${startAnew}>Start anew</button></p>`}
    ${old && html`<p class="line" role="status">Your unsaved changes are of version ${old.version}; the spell is now at ${spell.version}.
      <button type="button" class="small" onClick=${takeUp}>Take them up</button>
      <button type="button" class="small" onClick=${drop}>Drop them</button></p>`}
    <form class="compose" onSubmit=${event => { event.preventDefault(); save(); }}>
      <div class="card columns even">
        <div class="field"><label for="name">Name</label>
          <input id="name" value=${draft.name} maxlength="200" autocomplete="off" onInput=${event => change({ name: event.currentTarget.value })} /></div>
        <div class="field"><label for="visibility">Who may cast it</label>
          <select id="visibility" value=${draft.visibility} onChange=${event => change({ visibility: event.currentTarget.value })}>
            <option value="private">Only this account</option><option value="listed">Accounts it is granted to</option><option value="public">Everybody</option>
          </select></div>
        <div class="field wide"><label for="description">Description <span class="quiet">optional</span></label>
          <textarea id="description" rows="2" value=${draft.description} onInput=${event => change({ description: event.currentTarget.value })}></textarea></div>
      </div>
      <ol class="steps">${draft.steps.map((step, index) => html`
        <${StepForm} key=${step.key} step=${step} index=${index} last=${draft.steps.length - 1} before=${draft.steps.slice(0, index)} nodeOf=${key => nodeOf(draft, key)} tools=${tools}
          messages=${messages.filter(message => isAbout(message, step, index))}
          change=${changes => changeStep(step.key, changes)} move=${by => move(index, by)}
          remove=${() => { remove(step); focusOn(() => document.getElementById("add-tool")); }} />`)}
      </ol>
      <${AddStep} tools=${tools} lookAgain=${lookAgain} isFirst=${!draft.steps.length} add=${tool => {
        change({ steps: [...draft.steps, newStep(tool, draft.steps, tools)] });
        focusOn(() => document.querySelector(".compose .step:last-child h2"));
      }} />
      <div class="card foot">
        <${Summary} said=${said} top=${messages.filter(message => !draft.steps.some((step, index) => isAbout(message, step, index)))} isEmpty=${!draft.steps.length} />
        <${Trouble} problem=${problem} />
        <p class="actions end"><a class="button" onClick=${leave} href=${spell ? `#/spells/${spell.spellId}` : "#/spells"}>Discard</a>
          <button class="primary" disabled=${busy || !draft.steps.length}>${busy ? "One moment…" : spell ? `Save as version ${spell.version + 1}` : "Save the spell"}</button></p>
      </div>
    </form>`;
}

/** Whether a message about an exposed input is about this step. */
const isOfExposed = (path, body, id) => {
  const place = /^exposedInputs\[(\d+)\]/.exec(path)?.[1];
  return place !== undefined && body.exposedInputs?.[place]?.nodeId === id;
};

/** What the API says of the draft, a moment after the last key. */
function useLint(body, isDue) {
  const rested = useRested(body, LINT_MS);
  const [said, tell] = useState({});
  useEffect(() => {
    if (!isDue) return tell({});
    const control = new AbortController();
    // A name is asked for when the spell is saved, not at its first step.
    post("v1/spells", { ...rested, name: rested.name.trim() || "unnamed" }, { query: { dryRun: "true" }, signal: control.signal }).then(
      ({ warnings }) => tell({ kind: "warning", messages: warnings }),
      problem => control.signal.aborted || tell(problem.faults?.length ? { kind: "fault", messages: problem.faults } : { problem }));
    return () => control.abort();
  }, [JSON.stringify(rested), isDue]);
  return { ...said, isOld: JSON.stringify(rested) !== JSON.stringify(body) };
}

function Summary({ said, top, isEmpty }) {
  const number = said.messages?.length ?? 0;
  const text = isEmpty ? "Add a first step." : said.problem ? `It could not be checked: ${said.problem.message}`
    : !said.messages ? "Checking…" : number === 0 ? "Nothing is wrong with it."
    : said.kind === "fault" ? `${number === 1 ? "A fault has" : `${number} faults have`} to be mended before it can be saved.`
    : `${number === 1 ? "One thing" : `${number} things`} may not do what you mean; it can be saved.`;
  return html`<div role="status" aria-live="polite" class="lint ${said.kind ?? ""}"><p>${text}</p>${top.length > 0 && html`<${Faults} faults=${top} kind=${said.kind} />`}</div>`;
}

/** How a tool is told from others that have the same name. */
function labels(tools) {
  const named = Map.groupBy(tools, tool => tool.displayName);
  return ({ displayName, toolId }) => named.get(displayName).length > 1 ? `${displayName} (${toolId})` : displayName;
}

function AddStep({ tools, lookAgain, isFirst, add }) {
  const [chosen, choose] = useState("");
  const groups = Object.entries(Object.groupBy([...tools].sort((a, b) => a.displayName.localeCompare(b.displayName)), tool => tool.category ?? "other")).sort();
  const label = labels(tools);
  return html`
    <div class="card add">
      <div class="field"><label for="add-tool">${isFirst ? "First step" : "Next step"}</label>
        <select id="add-tool" value=${chosen} onFocus=${lookAgain} onChange=${event => choose(event.currentTarget.value)}>
          <option value="">Choose a tool…</option>
          ${groups.map(([group, members]) => html`<optgroup label=${group}>${members.map(tool => html`<option value=${tool.toolId}>${label(tool)}</option>`)}</optgroup>`)}
        </select>
        <p class="about">${toolNamed(tools, chosen)?.description}</p></div>
      <button type="button" disabled=${!chosen} onClick=${() => { add(toolNamed(tools, chosen)); choose(""); }}>Add the step</button>
    </div>`;
}

function StepForm({ step, index, last, before, nodeOf, tools, messages, change, move, remove }) {
  const tool = toolNamed(tools, step.tool);
  const values = Object.fromEntries(Object.entries(step.inputs).map(([name, { from, typed }]) => [name, from === FIXED ? toValue(fieldOf(tool, name), typed) : undefined]));
  const fields = fieldsOf(tool).filter(([name, field]) => name in step.inputs || isShown(field, tool, values));
  const unknown = Object.keys(step.inputs).filter(name => !tool?.inputSchema?.[name]).map(name => [name, fieldOf(tool, name, step.inputs[name])]);
  const shown = [...fields, ...unknown];
  const isMain = ([name, field]) => !field.advanced || (step.inputs[name]?.from ?? OUT) !== OUT;
  const isOf = (path, name) => ["parameterMappings", "parameterOverrides"].some(kind => `${path}.`.includes(`.${kind}.${name}.`));
  const of = name => messages.filter(({ path }) => isOf(path, name)).map(({ message }) => `${/^(is|has) /.test(message) ? `${name} ` : ""}${message}`);
  const rest = messages.filter(({ path }) => !shown.some(([name]) => isOf(path, name)));
  const set = (name, input) => change({ inputs: { ...step.inputs, [name]: { ...step.inputs[name], ...input } } });
  const input = ([name, field]) => html`
    <${Input} key=${name} id=${`step-${step.key}-${name}`} name=${name} field=${field} input=${step.inputs[name] ?? { from: OUT }} before=${before}
      nodeOf=${nodeOf} tools=${tools} messages=${of(name)} change=${changes => set(name, changes)} />`;
  const label = `Step ${index + 1}`, named = labels(tools);
  const moved = by => ({ currentTarget: button }) => {
    move(by);
    focusOn(() => button.disabled ? button.closest("li").querySelector("h2") : button);
  };
  return html`
    <li class="card step" data-step=${index}>
      <div class="line">
        <h2 tabindex="-1">${tool?.displayName ?? step.tool}</h2>
        <span class="actions">
          <button type="button" class="small" aria-label=${`Move ${label} up`} disabled=${index === 0} onClick=${moved(-1)}>↑</button>
          <button type="button" class="small" aria-label=${`Move ${label} down`} disabled=${index === last} onClick=${moved(1)}>↓</button>
          <button type="button" class="small" aria-label=${`Remove ${label}`} onClick=${remove}>Remove</button>
        </span>
      </div>
      <p class="about">${tool?.description}</p>
      ${rest.map(({ message }) => html`<p class="message">${message}</p>`)}
      ${shown.filter(isMain).map(input)}
      <details><summary>More settings</summary>
        ${shown.filter(each => !isMain(each)).map(input)}
        <div class="field"><label for=${`step-${step.key}-id`}>Id of the step</label>
          <input id=${`step-${step.key}-id`} value=${step.id} maxlength="200" autocomplete="off" onInput=${event => change({ id: event.currentTarget.value })} />
          <p class="about">Later steps are wired to it by this name.</p></div>
        <div class="field"><label for=${`step-${step.key}-fallback`}>Another tool in its place</label>
          <select id=${`step-${step.key}-fallback`} value=${step.fallback} onChange=${event => change({ fallback: event.currentTarget.value })}>
            <option value="">None</option>${tools.filter(other => other.toolId !== step.tool).map(other => html`<option value=${other.toolId}>${named(other)}</option>`)}</select>
          <p class="about">It is asked where the step's own tool certainly began nothing.</p></div>
      </details>
    </li>`;
}

function Input({ id, name, field, input, before, nodeOf, tools, messages, change }) {
  const from = input.from;
  const wires = before.map(step => [step, outputsOf(toolNamed(tools, step.tool))]);
  const isListed = !isWire(from) || wires.some(([step, outputs]) => outputs.some(([key]) => wire(step.key, key) === from));
  const optional = field.required === false || field.default !== undefined;
  const has = field.default === undefined || field.default === null ? "" : ` (${toTyped(field.default)})`;
  const isTyped = from === FIXED || from === ASKED;
  return html`
    <div class="field ${messages.length ? "wrong" : ""}">
      <div class="source"><label for=${isTyped ? id : `${id}-from`}>${name}${optional && html` <span class="quiet">optional</span>`}</label>
        <select id=${`${id}-from`} aria-label=${`Where ${name} comes from`} value=${from} onChange=${event => change({ from: event.currentTarget.value, typed: input.typed ?? "" })}>
          <option value=${OUT}>Left out${has}</option>
          <option value=${FIXED}>A value</option>
          <option value=${ASKED}>Asked of the caster</option>
          ${wires.map(([step, outputs], place) => html`<optgroup label=${`Wire from step ${place + 1}`}>${outputs.map(([key, kind]) => html`
            <option value=${wire(step.key, key)}>Step ${place + 1}, ${step.id} → ${key}${takes(field, kind) ? "" : " (does not fit)"}</option>`)}</optgroup>`)}
          ${!isListed && html`<option value=${from}>${nodeOf(JSON.parse(from)[0])} → ${JSON.parse(from)[1]}</option>`}
        </select></div>
      ${isTyped && html`<${Control} id=${id} field=${field} typed=${input.typed ?? ""} described=${`${id}-about`} invalid=${messages.length > 0} change=${typed => change({ typed })} />`}
      <p class="about" id=${`${id}-about`}>${field.description}${from === ASKED ? " What you write here is used where the caster says nothing." : ""}
        ${messages.map(message => html`<span class="message">${message}</span>`)}</p>
    </div>`;
}
