// What is known of one cast, from answers and messages in whatever order: a revision that was seen changes nothing.

const TERMINAL = ["completed", "failed", "cancelled", "skipped"];
export const isOver = record => TERMINAL.includes(record.status);

const DOCUMENTS = ["inputs", "outputs", "output", "metadata", "requestPayload", "responsePayload", "stepOverrides"];

/** Of two whole records the newer one; documents that it came without stay. */
function newer(known, told, truncated) {
  if (!known) return told;
  if (told.revision < known.revision) return known;
  const kept = truncated || told.truncated ? Object.fromEntries(DOCUMENTS.filter(key => key in known).map(key => [key, known[key]])) : {};
  return { ...kept, ...told };
}

/** After the whole cast was read, or sent as a snapshot. */
export function withCast(state, cast, truncated = false) {
  const known = new Map((state?.cast.generations ?? []).map(item => [item.generationId, item]));
  for (const item of cast.generations ?? []) {
    const old = known.get(item.generationId);
    known.set(item.generationId, old && old.revision > item.revision ? { ...item, ...old } : newer(old, item, truncated));
  }
  const generations = [...known.values()].sort((a, b) => a.stepIndex - b.stepIndex || a.attempt - b.attempt);
  return { progress: {}, ...state, cast: { ...newer(state?.cast, cast, truncated), generations } };
}

/** After one message; the state itself where it says nothing new of this cast. */
export function withMessage(state, { type, payload, at, truncated }) {
  if (payload?.castId !== state.cast.castId) return state;
  switch (type) {
    case "castSnapshot":
      return withCast(state, payload, truncated);
    case "castUpdate":
      return payload.revision <= state.cast.revision ? state
        : { ...state, cast: { ...newer(state.cast, payload, truncated), generations: state.cast.generations } };
    case "generationProgress": {
      const known = state.cast.generations.find(item => item.generationId === payload.generationId);
      return known && (isOver(known) || known.revision > payload.revision) ? state
        : { ...state, progress: { ...state.progress, [payload.generationId]: payload } };
    }
    case "generationUpdate": {
      const known = state.cast.generations.find(item => item.generationId === payload.generationId);
      if (known && known.revision >= payload.revision) return state;
      const { generationId, stepIndex, toolId, status, revision, costUsd, outputs, error, finalEventTimestamp } = payload;
      const told = {
        generationId, stepIndex, toolId, status, revision, costUsd,
        ...(truncated ? {} : { outputs }),
        ...(error ? { error: known?.error ?? { code: "", message: error } } : {}),
        ...(finalEventTimestamp ? { responseTimestamp: finalEventTimestamp } : {}),
      };
      const begun = known ?? { attempt: Number(generationId.split(".")[2]), requestTimestamp: at, durationMs: null };
      const generations = [...state.cast.generations.filter(item => item !== known), { ...begun, ...told }]
        .sort((a, b) => a.stepIndex - b.stepIndex || a.attempt - b.attempt);
      return { ...state, cast: { ...state.cast, generations } };
    }
  }
  return state;
}

/** The newest attempt at each step, by its index. */
export const latest = generations => new Map(generations.map(item => [item.stepIndex, item]));

/** The same as domain/graphs.py: `[{attempt, bars: [{generation, phases: [[name, begin, end]]}]}]`, in milliseconds. */
export function timeline({ cast, progress }, now) {
  const attempts = [...new Set(cast.generations.map(item => item.attempt))].sort((a, b) => a - b);
  const ended = cast.completedAt ?? cast.failedAt ?? cast.cancelledAt;
  return attempts.map((attempt, number) => {
    const group = cast.generations.filter(item => item.attempt === attempt);
    const begins = group.map(item => Date.parse(item.requestTimestamp));
    const ends = [...begins.slice(1), number < attempts.length - 1 ? null : isOver(cast) && ended ? Date.parse(ended) : now];
    if (number === 0) begins[0] = Math.min(Date.parse(cast.startedAt), begins[0]);
    const bars = group.map((generation, place) => ({
      generation, phases: phases(generation, begins[place], ends[place], now, progress[generation.generationId]),
    }));
    const times = bars.flatMap(bar => bar.phases.flatMap(([, begin, end]) => [begin, end]));
    const begin = Math.min(...begins);
    return { attempt, bars, begin, end: Math.max(begin + 1, ...times) };
  });
}

function phases(generation, ready, following, now, told) {
  const asked = Date.parse(generation.requestTimestamp);
  const answered = generation.responseTimestamp ? Date.parse(generation.responseTimestamp) : null;
  const end = answered ?? Math.max(now, asked);
  const isQueued = !isOver(generation) && (told ? told.status === "queued" : generation.status === "pending");
  const begun = generation.durationMs != null ? Math.max(asked, end - generation.durationMs) : isQueued ? end : asked;
  const found = [["waiting", ready, begun], ["running", begun, end]];
  if (answered && following) found.push(["processing", answered, following]);
  return found.filter(([, from, to]) => from < to);
}
