import { count, duration, rate } from "../format";
import type { Progress } from "../protocol";
import { nameOf, sameTarget } from "../target";
import { isLive, type TaskName } from "../tasks";
import { useView } from "../view-context";

const NAMES: Record<TaskName, string> = {
	render: "Rendering",
	scan: "Scanning",
	preview: "Previews",
	measure: "Measuring",
	facets: "Facets",
	between: "Between",
	accentuation: "From the photo",
};
const MEASURED = 10;
const UNITS: Record<TaskName, string> = {
	render: "steps",
	scan: "photos",
	preview: "previews",
	measure: "photos",
	facets: "steps",
	between: "steps",
	accentuation: "steps",
};

/** A named progress bar with done/total, rate and time left; or how the task ended, and a way on. */
export function ProgressRow({ task, p }: { task: TaskName; p: Progress }) {
	const { state } = useView();
	const unit = UNITS[task];
	const live = isLive(p);
	const other = sameTarget(p.target, state.selection.target.value) ? null : p.target;
	const total = p.total > 0 ? count(p.total) : "?";
	const parts = p.total > 0 || p.done > 0 ? [`${count(p.done)}/${total}`] : [];
	if (p.state === "running" && p.rate > 0)
		parts.push(`${rate(p.rate)} ${task === "preview" ? "" : unit}/s`.replace(" /", "/"));
	// A rate of a few steps says nothing of the time left.
	if (p.state === "running" && p.left > 0 && p.done >= MEASURED)
		parts.push(`${duration(p.left)} left`);
	const gone = live && state.gone.value;
	const ends = {
		running: "",
		waiting: "waits for its turn",
		elsewhere: "",
		done: "done",
		stopped: "stopped",
		failed: "failed",
	}[p.state];
	if (gone) parts.splice(1, 3, "the kernel went away");
	else if (ends) parts.push(ends);
	if (live && !gone && p.note) parts.push(p.note);
	return (
		<div class={`nw-progress nw-progress-${task}`} data-state={gone ? "failed" : p.state}>
			<span class="nw-progress-name" aria-hidden="true">
				{task === "scan" && p.state === "stopped" ? "Scan" : NAMES[task]}
			</span>
			<progress
				aria-label={NAMES[task]}
				max={p.total > 0 ? p.total : 1}
				{...(p.total > 0 || !live ? { value: p.total > 0 ? p.done : 0 } : {})}
			/>
			<span class="nw-progress-text">
				{other && task === "render" && `${nameOf(other, state.layerOf(other))}: `}
				{parts.join(" · ")}
			</span>
			{/* The buttons of the rendering stand beside Render. */}
			{task !== "render" && !state.gone.value && <Switch task={task} p={p} />}
		</div>
	);
}

/** Stops a task that goes on, and lets a stopped one go on. One button, so that it keeps the focus. */
function Switch({ task, p }: { task: TaskName; p: Progress }) {
	const { state, commands } = useView();
	const asked = state.tasks[task].asked.value;
	const stops = isLive(p);
	const word = asked ? `${stops ? "Stop" : "Resume"} requested` : stops ? "Stop" : "Resume";
	return (
		<button
			type="button"
			class="nw-button nw-small"
			aria-label={asked ? word : `${word} ${NAMES[task].toLowerCase()}`}
			aria-disabled={asked !== ""}
			onClick={() => {
				if (asked) return;
				if (stops) commands.stop(task);
				else commands.resume(task);
			}}
		>
			{word}
		</button>
	);
}
