// What all views are made of.

import { html, useCallback, useEffect, useRef, useState } from "./vendor/htm-preact-3.1.1.js";
import { get } from "./api.js";
import { address, pretty } from "./words.js";

export { html, useCallback, useEffect, useRef, useState };

/** What `load(signal)` answers, again whenever `inputs` change: `{data, problem, loading, reload, set}`. */
export function useLoaded(load, inputs) {
  const [state, set] = useState({ loading: true });
  const [turn, again] = useState(0);
  const known = useRef(inputs);
  useEffect(() => {
    const control = new AbortController();
    const isNew = known.current.some((value, place) => value !== inputs[place]);
    known.current = inputs;
    set(old => ({ data: isNew ? undefined : old.data, problem: isNew ? undefined : old.problem, loading: true }));
    load(control.signal).then(
      data => set({ data, loading: false }),
      problem => control.signal.aborted || set(old => ({ data: problem.status === 404 ? undefined : old.data, problem, loading: false })),
    );
    return () => control.abort();
  }, [...inputs, turn]);
  const reload = useCallback(() => again(number => number + 1), []);
  const change = useCallback(how => set(old => ({ ...old, data: how(old.data) })), []);
  return { ...state, reload, change };
}

/** A value that follows another once that has rested for so long. */
export function useRested(value, milliseconds) {
  const [rested, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), milliseconds);
    return () => clearTimeout(timer);
  }, [JSON.stringify(value), milliseconds]);
  return rested;
}

let tools;
/** All tools, by their ids and their display names; asked for once. */
export const loadTools = () => (tools ??= get("v1/tools").then(({ tools }) => tools, problem => { forgetTools(); throw problem; }));
export const forgetTools = () => { tools = undefined; };
export const useTools = () => useLoaded(loadTools, []);
export const toolNamed = (tools, name) => tools?.find(tool => tool.toolId === name) ?? tools?.find(tool => tool.displayName === name);

export const Head = ({ title, children }) => {
  const head = useRef();
  useEffect(() => {
    document.title = `${title} – Spellcast`;
    head.current.focus({ preventScroll: true });
  }, [title]);
  return html`<div class="head"><h1 tabindex="-1" ref=${head}>${title}</h1><div class="actions">${children}</div></div>`;
};

export const Trouble = ({ problem, retry, back }) => problem && html`
  <div class="trouble" role="alert">
    <p>${problem.message}</p>
    ${problem.faults?.length > 0 && html`<${Faults} faults=${problem.faults} />`}
    ${(retry || back) && html`<p class="actions">
      ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
      ${back && html`<a class="button" href=${back[0]}>${back[1]}</a>`}</p>`}
  </div>`;

export const Faults = ({ faults, kind = "fault" }) => html`
  <ul class="faults ${kind}">${faults.map(({ path, message }) => html`<li><code>${path}</code> ${message}</li>`)}</ul>`;

export const Loading = ({ what = "Loading…" }) => html`<p class="quiet" role="status">${what}</p>`;

export const Status = ({ of }) => html`<span class="status ${of}">${of}</span>`;

export const Time = ({ at }) => html`<time datetime=${at}>${new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(at))}</time>`;

export const Json = ({ value }) => html`<pre class="json" tabindex="0">${pretty(value)}</pre>`;

/** A dialog that is open while it is rendered; Escape closes it. */
export function Dialog({ title, close, submit, label, busy, problem, children }) {
  const box = useRef();
  useEffect(() => { if (!box.current.open) box.current.showModal(); }, []);
  return html`
    <dialog ref=${box} aria-labelledby="dialog-title" onClose=${close}>
      <form onSubmit=${event => { event.preventDefault(); submit(); }}>
        <h2 id="dialog-title">${title}</h2>
        ${children}
        <${Trouble} problem=${problem} />
        <p class="actions end">
          <button type="button" onClick=${() => box.current.close()}>Close</button>
          ${label && html`<button class="primary" disabled=${busy}>${busy ? "One moment…" : label}</button>`}
        </p>
      </form>
    </dialog>`;
}

/** What a button does, with its failure. */
export function useAction(what) {
  const [state, set] = useState({});
  const act = async (...given) => {
    set({ busy: true });
    try {
      await what(...given);
      set({});
    } catch (problem) {
      set({ problem });
    }
  };
  return [act, state.busy, state.problem, () => set({})];
}

/** A picture that the API draws; names in it come from users, so it is shown as an image, which runs nothing. */
export function Drawing({ path, query, label }) {
  const { data, problem, reload } = useLoaded(
    signal => get(path, query, { text: true, signal }), [path, JSON.stringify(query ?? {})]);
  const [source, set] = useState(null);
  useEffect(() => {
    if (!data) return;
    const url = URL.createObjectURL(new Blob([data], { type: "image/svg+xml" }));
    set(url);
    return () => URL.revokeObjectURL(url);
  }, [data]);
  return problem ? html`<${Trouble} problem=${problem} retry=${reload} />`
    : source ? html`<img class="drawing" src=${source} alt=${label} />` : html`<${Loading} />`;
}

/** What a step or a cast put out: pictures, videos, sounds, texts, and anything else as it is. */
export function Outputs({ of, name, reload }) {
  if (!of || (Array.isArray(of) ? of.length : Object.keys(of).length) === 0) return null;
  if (Array.isArray(of)) return of.map((element, place) => html`
    <${Outputs} key=${place} of=${element?.data && typeof element.data === "object" ? element.data : element} name=${name} reload=${reload} />`);
  if (typeof of !== "object") return html`<${Text} value=${of} />`;
  const { images, files, text, ...rest } = of;
  const items = [...list(images).map(item => [item, "image"]), ...list(files).map(item => [item, kindOf(item)])];
  return html`
    ${items.length > 0 && html`<div class="media">${items.map(([item, kind], place) => html`
      <${Medium} key=${place} item=${item} kind=${kind} label=${`${name}, ${kind} ${place + 1}`} reload=${reload} />`)}</div>`}
    ${list(text).map(part => html`<${Text} value=${part} />`)}
    ${Object.keys(rest).length > 0 && html`<${Json} value=${rest} />`}`;
}

const list = value => value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];

const Text = ({ value }) => html`<pre class="text" tabindex="0">${typeof value === "string" ? value : pretty(value)}</pre>`;

function kindOf(item) {
  const type = item?.mediaType ?? item?.type ?? item?.format ?? "";
  const known = /^(image|video|audio)/.exec(type)?.[1];
  if (known) return known;
  const ending = /\.(\w+)(?:[?#]|$)/.exec(item?.url ?? item?.filename ?? "")?.[1]?.toLowerCase();
  if (["mp4", "webm", "mov", "mkv"].includes(ending)) return "video";
  if (["mp3", "wav", "ogg", "flac", "m4a"].includes(ending)) return "audio";
  return ["png", "jpg", "jpeg", "webp", "gif", "avif"].includes(ending) ? "image" : "file";
}

function Medium({ item, kind, label, reload }) {
  const source = address(typeof item === "string" ? item : item?.url);
  const [gone, setGone] = useState(false);
  useEffect(() => setGone(false), [source]);
  if (!source) return html`<${Json} value=${item} />`;
  const failed = () => setGone(true);
  if (gone) return html`
    <div class="gone" role="note">
      <p>${item?.kept === false
        ? "This is no longer where its provider had it, and no copy could be kept. Run the step again to make it anew."
        : "This does not load: its link is good for some hours only, or it was deleted."}</p>
      ${item?.kept !== false && reload && html`<button type="button" onClick=${() => { setGone(false); reload(); }}>Get a fresh link</button>`}
    </div>`;
  return html`
    <figure>
      ${kind === "image" ? html`<a href=${source} target="_blank" rel="noreferrer"><img src=${source} alt=${label} onError=${failed} /></a>`
        : kind === "video" ? html`<video src=${source} controls preload="metadata" aria-label=${label} onError=${failed} />`
        : kind === "audio" ? html`<audio src=${source} controls preload="metadata" aria-label=${label} onError=${failed} />`
        : html`<a class="button" href=${source} target="_blank" rel="noreferrer">Open ${item?.filename ?? "the file"}</a>`}
    </figure>`;
}
