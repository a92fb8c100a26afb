// Forms made from the input schemas of tools.

import { html } from "./parts.js";

const LONG = ["string", "text", "textany"];
const STRUCTURED = ["object", "array", "list", "any"];
export const MEDIA = ["image", "video", "audio", "file"];

/** The inputs of a tool in the order of its form, as `[key, field]`. */
export const fieldsOf = tool => Object.entries(tool?.inputSchema ?? {})
  .sort(([, a], [, b]) => (a.order ?? 99) - (b.order ?? 99));

/** Whether the form shows the field at these values. */
export function isShown(field, tool, values) {
  const rule = field.visibleIf;
  if (!rule) return true;
  const other = tool.inputSchema[rule.field];
  const value = values[rule.field] ?? other?.default;
  return value === undefined || rule.values.includes(value);
}

/** What is typed as what is sent: a number where it is one; what is not one is left to the linter to refuse. */
export function toValue(field, typed) {
  if (typed === "" || typed === undefined) return undefined;
  if (["number", "integer"].includes(field.type) && typed.trim?.() && Number.isFinite(Number(typed))) return Number(typed);
  if (STRUCTURED.includes(field.type)) {
    try { return JSON.parse(typed); } catch { return typed; }
  }
  if (field.type === "enum") return field.enum?.find(choice => String(choice) === typed) ?? typed;
  return typed;
}

export const toTyped = value => value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : typeof value === "boolean" ? value : String(value);

/** A control for one input. `typed` is what stands in it. */
export function Control({ id, field, typed, change, described, required, invalid }) {
  const about = { id, "aria-describedby": described, "aria-invalid": invalid, required };
  const told = event => change(event.currentTarget.value);
  const hint = field.default !== undefined && field.default !== null ? toTyped(field.default) : "";
  if (field.enum?.length) return html`
    <select ...${about} value=${typed} onChange=${told}>
      <option value="">${hint === "" ? "Choose…" : `Default: ${hint}`}</option>
      ${field.enum.map(choice => html`<option value=${String(choice)}>${String(choice)}</option>`)}
    </select>`;
  if (field.type === "boolean") return html`
    <select ...${about} value=${typed === "" ? "" : String(typed)} onChange=${event => change(event.currentTarget.value === "" ? "" : event.currentTarget.value === "true")}>
      <option value="">${hint === "" ? "Not set" : `Default: ${hint === "true" ? "yes" : "no"}`}</option>
      <option value="true">Yes</option><option value="false">No</option>
    </select>`;
  if (LONG.includes(field.type ?? "string") || STRUCTURED.includes(field.type)) return html`
    <textarea ...${about} class=${STRUCTURED.includes(field.type) ? "code" : ""} rows=${Math.min(8, Math.max(1, String(typed).split("\n").length, Math.ceil(String(typed).length / 70)))}
      value=${typed} placeholder=${hint || (STRUCTURED.includes(field.type) ? "JSON" : "")} onInput=${told}></textarea>`;
  const isNumber = ["number", "integer"].includes(field.type);
  return html`<input ...${about} value=${typed} placeholder=${hint || (MEDIA.includes(field.type) || field.type === "url" ? "https://…" : "")}
    inputmode=${isNumber ? "decimal" : MEDIA.includes(field.type) ? "url" : "text"} autocomplete="off" onInput=${told} />`;
}

/** Label, control, what it is for, and what is wrong with it. */
export function Field({ id, name, field = {}, hint, messages = [], optional, children, ...control }) {
  const told = field.description ?? hint;
  return html`
    <div class="field ${messages.length ? "wrong" : ""}">
      <label for=${id}>${name}${optional && html` <span class="quiet">optional</span>`}</label>
      ${children ?? html`<${Control} id=${id} field=${field} described=${`${id}-about`} invalid=${messages.length > 0} ...${control} />`}
      <p class="about" id=${`${id}-about`}>${told}${messages.map(message => html`<span class="message">${message}</span>`)}</p>
    </div>`;
}
