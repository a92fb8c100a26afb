// One cast, live.

import { get, post } from "./api.js";
import { Field, fieldsOf, toTyped, toValue } from "./fields.js";
import { live } from "./live.js";
import {
  Copy, Dialog, Drawing, Head, Json, Loading, More, Outputs, Status, Time, Trouble, html, toolNamed, useAction, useEffect,
  useKey, useLoaded, useLost, useNow, useRef, useState, useTools,
} from "./parts.js";
import { isOver, latest, timeline, withCast, withMessage } from "./records.js";
import { advice, count, duration, sum, usd } from "./words.js";

const REFRESH_MS = 150, TICK_MS = 100;

/** The cast and its steps as they are now, and what their providers report. */
function useCast(castId) {
  const { data, problem, reload, change } = useLoaded(
    signal => get(`v1/casts/${castId}`, {}, { signal }), [castId], (cast, shown) => withCast(shown, cast));
  const waiting = useRef(null);
  useEffect(() => {
    const read = () => get(`v1/casts/${castId}`).then(cast => change(state => withCast(state, cast)), () => {});
    // Messages say less than records: what they leave out is asked for, once for several.
    const refresh = () => {
      waiting.current ??= setTimeout(() => {
        waiting.current = null;
        if (!live.subscribe(castId)) read();
      }, REFRESH_MS);
    };
    const end = live.listen({
      caughtUp: () => { if (!live.subscribe(castId)) read(); },
      message: message => {
        if (message.payload?.castId !== castId) return;
        change(state => state && withMessage(state, message));
        if (message.type === "castSnapshot" && message.truncated) read();
        else if (["castUpdate", "generationUpdate"].includes(message.type)) refresh();
      },
    });
    if (live.state === "live") live.subscribe(castId);
    return () => { end(); clearTimeout(waiting.current); waiting.current = null; };
  }, [castId]);
  return { state: data, problem, reload, change };
}

export function CastView({ castId }) {
  const { state, problem, reload, change } = useCast(castId);
  const [dialog, open] = useState(null);
  const cast = state?.cast;
  const runs = cast && !isOver(cast);
  const spell = useLoaded(signal => cast ? get(`v1/spells/${cast.spellId}`, {}, { signal }) : Promise.resolve(null), [cast?.spellId]);
  const isGone = spell.problem?.status === 404;
  const tools = useTools().data;
  const [cancel, cancelling, notCancelled] = useAction(async () => take(await post(`v1/casts/${castId}/cancel`)));
  const take = changed => { change(old => withCast(old, changed)); open(null); };
  if (!cast) return html`
    <${Head} title="A cast" />
    ${problem ? html`<${Trouble} problem=${problem} retry=${problem.status === 404 ? null : reload} back=${["#/casts", "All casts"]} />`
      : html`<${Loading} />`}`;
  const current = latest(cast.generations);
  const shown = Math.max(cast.stepCount, current.size);
  const cost = runs ? sum(["0", ...cast.generations.map(item => item.costUsd ?? "0")]) : cast.costUsd;
  const status = runs && cast.cancelRequestedAt ? "cancelling" : cast.status;
  const ended = cast.completedAt ?? cast.failedAt ?? cast.cancelledAt;
  return html`
    <${Head} title=${cast.spellName} state=${status}>
      <${Status} of=${status} />
      ${runs && html`<button type="button" disabled=${cancelling || cast.cancelRequestedAt} onClick=${cancel}>Cancel</button>`}
      ${["failed", "cancelled"].includes(cast.status) && html`<button type="button" class="primary" onClick=${() => open("resume")}>Resume…</button>`}
      ${!isGone && html`<a class="button" href=${`#/spells/${cast.spellId}?from=${cast.castId}`}>Cast again…</a>`}
    <//>
    <p class="facts">
      <span>Cast <code>${cast.castId}</code> <${Copy} text=${cast.castId} label="Copy the cast's id" /></span>
      <span>Version ${cast.version} of ${isGone ? `“${cast.spellName}”, which is gone` : html`<a href=${`#/spells/${cast.spellId}`}>${cast.spellName}</a>`}</span>
      <span>Started <${Time} at=${cast.startedAt} /></span>
      ${ended && html`<span>${status[0].toUpperCase()}${status.slice(1)} <${Time} at=${ended} /></span>`}
      ${cast.budgetUsd && html`<span>Budget ${usd(cast.budgetUsd)}</span>`}
    </p>
    <p class="unseen" role="status">The cast is ${status}.</p>
    <${Trouble} problem=${problem ?? notCancelled} retry=${problem && reload} />
    <${Failure} cast=${cast} />
    <section aria-labelledby="timeline">
      <h2 id="timeline">Timeline</h2>
      <${Timeline} state=${state} runs=${runs} />
    </section>
    <section aria-labelledby="steps">
      <h2 id="steps">Steps</h2>
      <ol class="steps">${Array.from({ length: shown }, (_, index) => html`
        <${Step} key=${index} index=${index} cast=${cast} progress=${state.progress} reload=${reload} open=${open}
          planned=${spell.data?.version === cast.version ? spell.data.steps[index] : null} tools=${tools} />`)}
      </ol>
    </section>
    <section aria-labelledby="cost"><h2 id="cost">Cost</h2><${Cost} cast=${cast} total=${cost} spell=${spell.data} tools=${tools} /></section>
    <section aria-labelledby="inputs">
      <h2 id="inputs">Inputs of the cast</h2>
      ${cast.inputs && Object.keys(cast.inputs).length ? html`<${Values} of=${cast.inputs} />` : html`<p class="quiet">None were given.</p>`}
      ${Object.entries(cast.stepOverrides ?? {}).map(([step, of]) => html`<h3>Changed since for step ${step}</h3><${Values} of=${of} />`)}
    </section>
    <${More} summary="How its steps are wired">${() => html`
      <${Drawing} key=${cast.revision} path=${`v1/casts/${castId}/graph`} label=${`The steps of ${cast.spellName} and their wires`} />`}<//>
    <${More} summary="As the API has it">${() => html`<${Json} value=${cast} />`}<//>
    ${dialog === "resume" && html`<${Resume} cast=${cast} newest=${spell.data?.version} close=${() => open(null)} take=${take} />`}
    ${dialog?.generationId && html`<${Retry} generation=${dialog} tool=${toolNamed(tools, dialog.toolId)} close=${() => open(null)} take=${take} />`}`;
}

function Failure({ cast }) {
  if (!["failed", "cancelled"].includes(cast.status) || !cast.failure) return null;
  const { stepIndex, stepId, code, message } = cast.failure;
  return html`
    <div class="trouble" role="alert">
      <p><strong>${stepIndex === undefined ? "The cast" : `Step ${stepIndex + 1} (${stepId})`} ${cast.status === "cancelled" ? "was cancelled" : "failed"}.</strong> ${message}</p>
      <p>${advice(code)} <code>${code}</code></p>
    </div>`;
}

function Timeline({ state, runs }) {
  const isLost = useLost();
  const now = useNow(runs && !isLost ? TICK_MS : 0);
  const attempts = timeline(state, now);
  if (!attempts.length) return html`<p class="quiet">Nothing has begun yet.</p>`;
  const longest = Math.max(...attempts.map(({ begin, end }) => end - begin));
  const tick = [1, 2, 5, 10].map(factor => factor * 10 ** Math.floor(Math.log10(longest / 5))).find(step => longest / step <= 6);
  const failed = attempts.some(({ bars }) => bars.some(({ generation }) => generation.status === "failed"));
  const share = milliseconds => `${(100 * milliseconds / longest).toFixed(2)}%`;
  return html`
    ${runs && isLost && html`<p class="quiet">As of <${Time} at=${new Date(now).toISOString()} />: nothing was heard since.</p>`}
    <div class="timeline">
      ${attempts.map(({ attempt, bars, begin }) => html`
        ${attempts.length > 1 && html`<h3>Attempt ${attempt}</h3>`}
        ${bars.map(({ generation, phases }) => {
          const length = phases.length ? phases.at(-1)[2] - phases[0][1] : 0;
          const told = phases.map(([name, from, to]) => `${name} ${duration(to - from)}`).join(", ");
          return html`
            <div class="bar" key=${generation.generationId} data-step=${generation.stepIndex}>
              <span class="name">${generation.stepIndex + 1} ${generation.toolDisplayName ?? generation.toolId}</span>
              <svg role="img" aria-label=${`${generation.status}: ${told || "no time"}`} class=${generation.status} width="100%" height="20">
                <title>${told}</title>
                ${phases.map(([name, from, to]) => html`
                  <rect class=${name} x=${share(from - begin)} width=${share(to - from)} y="2" height="16" />`)}
              </svg>
              <span class="number" title="In all, with waiting and processing">${duration(length)}</span>
            </div>`;
        })}`)}
      <div class="bar axis" aria-hidden="true"><span></span>
        <svg width="100%" height="18">${Array.from({ length: Math.floor(0.88 * longest / tick) + 1 }, (_, place) => html`
          <text x=${share(place * tick)} y="13">${tick >= 1000 ? `${place * tick / 1000} s` : `${place * tick} ms`}</text>`)}</svg><span></span></div>
      <p class="legend" aria-hidden="true">${["waiting", "running", "processing", ...(failed ? ["failed"] : [])].map(name => html`
        <span><i class=${name}></i>${name}</span>`)}</p>
    </div>`;
}

function Step({ index, cast, planned, tools, progress, reload, open }) {
  const attempts = cast.generations.filter(item => item.stepIndex === index);
  const done = attempts.at(-1);
  const tool = toolNamed(tools, done?.toolId ?? planned?.toolIdentifier);
  const name = done?.toolDisplayName ?? tool?.displayName ?? done?.toolId ?? planned?.toolIdentifier ?? "Not begun";
  const told = done && !isOver(done) && progress[done.generationId];
  const from = done?.metadata?.fallbackFrom;
  return html`
    <li class="card step ${done?.status ?? "open"}">
      <div class="line">
        <h3>${name} <span class="quiet">${done?.stepId ?? planned?.id ?? planned?.stepId ?? ""}</span></h3>
        <${Status} of=${done?.status ?? "open"} />
        ${done?.durationMs != null && html`<span class="quiet" title="The provider's own time">${duration(done.durationMs)}</span>`}
        ${attempts.length > 1 && html`<span class="quiet">attempt ${done.attempt}</span>`}
        ${done && isOver(done) && isOver(cast) && html`
          <button type="button" class="small" aria-label=${`Run again… (step ${index + 1})`} onClick=${() => open(done)}>Run again…</button>`}
      </div>
      ${from && html`<p class="about">In the place of ${toolNamed(tools, from.toolId)?.displayName ?? from.toolId}: ${from.message}</p>`}
      ${done && !isOver(done) && html`<${Progress} told=${told} name=${name} isPending=${done.status === "pending"} />`}
      ${done?.error && html`<p class="message">${done.error.message} ${done.error.code && html`<code>${done.error.code}</code>`}</p>`}
      ${done && html`<${Outputs} of=${done.outputs} name=${`Step ${index + 1}, ${name}`} reload=${reload} />`}
      ${done?.truncated && html`<${Whole} of=${done} />`}
      ${attempts.length > 1 && html`
        <${More} summary="Earlier attempts">${() => attempts.slice(0, -1).map(old => html`
          <p class="line">Attempt ${old.attempt} <${Status} of=${old.status} /> <span class="quiet">${old.durationMs != null && duration(old.durationMs)} ${usd(old.costUsd)}</span></p>
          ${old.error && html`<p class="message">${old.error.message} ${old.error.code && html`<code>${old.error.code}</code>`}</p>`}
          <${Outputs} of=${old.outputs} name=${`Attempt ${old.attempt} at step ${index + 1}, ${name}`} reload=${reload} />`)}<//>`}
      ${done?.requestPayload && Object.keys(done.requestPayload).length > 0 && html`
        <details><summary>Inputs of this step</summary><${Values} of=${done.requestPayload} /></details>`}
    </li>`;
}

function Progress({ told, name, isPending }) {
  const label = told?.liveStatus || (told?.status === "queued" ? "Queued…" : isPending ? "Waiting…" : "Running…");
  const part = told?.progress;
  return html`<p class="progress"><progress aria-label=${`Progress of ${name}`} max="1" value=${part ?? undefined}></progress>
    <span>${label}${part == null ? "" : ` ${Math.round(part * 100)} %`}</span></p>`;
}

/** A step whose documents are too large to come with its cast. */
function Whole({ of: { generationId, outputs, requestPayload } }) {
  const [asked, ask] = useState(false);
  const { data, problem, reload } = useLoaded(signal => asked ? get(`v1/generations/${generationId}`, {}, { signal }) : Promise.resolve(null), [asked]);
  if (!asked) return html`<button type="button" class="small" onClick=${() => ask(true)}>Show what is large</button>`;
  if (problem) return html`<${Trouble} problem=${problem} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  return data.wholeUrl ? html`<p><a class="button" href=${data.wholeUrl} rel="noreferrer">Download all of it</a></p>`
    : html`${!outputs && html`<${Outputs} of=${data.outputs} name="Output" reload=${reload} />`}
      ${!requestPayload && html`<${More} summary="Inputs of this step">${() => html`<${Values} of=${data.requestPayload ?? {}} />`}<//>`}`;
}

function Values({ of }) {
  return html`<dl class="values">${Object.entries(of).map(([key, value]) => html`
    <dt>${key}</dt><dd>${typeof value === "object" && value !== null ? html`<${Json} value=${value} />` : String(value)}</dd>`)}</dl>`;
}

function Cost({ cast, total, spell, tools }) {
  const quote = useLoaded(signal => spell && cast.inputs
    ? post(`v1/spells/${spell.spellId}/quote`, { inputs: cast.inputs }, { signal }) : Promise.resolve(null), [spell?.spellId, Boolean(cast.inputs)]);
  // Quotes are of the newest version.
  const steps = spell?.version === cast.version ? quote.data?.breakdown : undefined;
  const rows = Array.from({ length: cast.stepCount }, (_, index) => {
    const attempts = cast.generations.filter(item => item.stepIndex === index);
    const name = attempts.at(-1)?.toolDisplayName ?? toolNamed(tools, steps?.[index]?.toolId)?.displayName ?? steps?.[index]?.toolId ?? "–";
    return { index, name, attempts: attempts.length, cost: sum(["0", ...attempts.map(item => item.costUsd ?? "0")]), quote: steps?.[index]?.costUsd };
  });
  return html`
    <table class="list cost">
      <thead><tr><th scope="col">Step</th><th scope="col" class="number">Quote now</th><th scope="col" class="number">Actual</th></tr></thead>
      <tbody>${rows.map(row => html`<tr>
        <td>${row.index + 1} ${row.name}${row.attempts > 1 ? html` <span class="quiet">${count(row.attempts, "attempt", "attempts")}</span>` : ""}</td>
        <td class="number quiet">${row.quote === undefined ? "–" : usd(row.quote)}</td><td class="number">${usd(row.cost)}</td></tr>`)}</tbody>
      <tfoot><tr><th scope="row">Total${isOver(cast) ? "" : " so far"}</th>
        <td class="number quiet">${steps ? usd(quote.data.totalCostUsd) : "–"}</td><td class="number" id="total-cost">${usd(total)}</td></tr></tfoot>
    </table>
    ${cast.pointsSpent > 0 && html`<p class="quiet">${count(cast.pointsSpent, "point", "points")}</p>`}
    ${spell && spell.version !== cast.version && html`<p class="quiet">The quote is of the newest version (${spell.version}); this is a cast of version ${cast.version}.</p>`}`;
}

function Resume({ cast, newest, close, take }) {
  // What was too small is not offered again; where it was the day's budget that was, the cast's own is well.
  const isTooSmall = cast.failure?.code === "BUDGET_EXCEEDED" && cast.budgetUsd && cast.failure.message.includes(` of the budget of $${cast.budgetUsd} `);
  const [budget, setBudget] = useState(isTooSmall ? "" : cast.budgetUsd ?? "");
  const [version, setVersion] = useState(cast.version);
  const keyOf = useKey();
  const [act, busy, problem] = useAction(async () => {
    const body = { ...(budget && budget !== cast.budgetUsd ? { budgetUsd: budget } : {}), ...(version !== cast.version ? { version } : {}) };
    take(await post(`v1/casts/${cast.castId}/resume`, body, { headers: { "Idempotency-Key": keyOf(body) } }));
  });
  const versions = Array.from({ length: Math.max(1, (newest ?? cast.version) - cast.version + 1) }, (_, more) => cast.version + more);
  return html`
    <${Dialog} title="Resume the cast" close=${close} submit=${act} label="Resume" busy=${busy} problem=${problem}>
      <p>It goes on at the first step that is not completed. What is finished is kept, and not paid again.</p>
      <${Field} id="resume-budget" name="Budget in US dollars" optional=${!isTooSmall}
        hint=${`All that the cast may cost, with what it has cost already.${isTooSmall ? ` It has to hold both: ${cast.failure.message}` : ""}`}>
        <input id="resume-budget" inputmode="decimal" required=${isTooSmall} value=${budget} aria-describedby="resume-budget-about" onInput=${event => setBudget(event.currentTarget.value.trim())} /><//>
      <${Field} id="resume-version" name="Version of the spell" hint=${versions.length > 1 ? "" : "There is no newer one."}>
        <select id="resume-version" value=${version} aria-describedby="resume-version-about" onChange=${event => setVersion(Number(event.currentTarget.value))}>
          ${versions.map(each => html`<option value=${each}>${each}${each === cast.version ? " (as it was cast)" : ""}</option>`)}</select><//>
    <//>`;
}

function Retry({ generation, tool, close, take }) {
  const was = generation.requestPayload ?? {};
  const fields = tool ? fieldsOf(tool) : Object.keys(was).map(key => [key, { type: typeof was[key] === "object" ? "any" : "string" }]);
  const [typed, set] = useState(Object.fromEntries(fields.map(([key]) => [key, toTyped(was[key])])));
  const keyOf = useKey();
  const [act, busy, problem] = useAction(async () => {
    const changed = fields.filter(([name]) => String(typed[name]) !== String(toTyped(was[name])));
    const body = { inputs: Object.fromEntries(changed.map(([name, field]) => [name, toValue(field, typed[name]) ?? null])) };
    take(await post(`v1/generations/${generation.generationId}/retry`, body, { headers: { "Idempotency-Key": keyOf(body) } }));
  });
  return html`
    <${Dialog} title=${`Run step ${generation.stepIndex + 1} again`} close=${close} submit=${act} label="Run again" busy=${busy} problem=${problem}>
      <p>This step and all after it are run, and paid, once more. Change what should be different.</p>
      ${fields.map(([name, field]) => html`
        <${Field} key=${name} id=${`retry-${name}`} name=${name} field=${field} typed=${typed[name]} change=${value => set(old => ({ ...old, [name]: value }))} />`)}
    <//>`;
}
