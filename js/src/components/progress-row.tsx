import { count, duration, neuronName, rate } from "../format";
import type { Progress } from "../protocol";
import type { Task } from "../tasks";
import { useView } from "../view-context";

const NAMES: Record<Task, string> = {
	render: "Rendering",
	scan: "Scanning",
	preview: "Previews",
};
const MEASURED = 10;
const UNITS: Record<Task, string> = { render: "steps", scan: "photos", preview: "previews" };

/** A named progress bar with done/total, rate and time left; or how the task ended. */
export function ProgressRow({ task, p }: { task: Task; p: Progress }) {
	const { state } = useView();
	const unit = UNITS[task];
	const running = p.state === "running" || p.state === "waiting";
	const other = task === "render" && `${p.layer}/${p.neuron}` !== state.selection.key.value;
	const total = p.total > 0 ? count(p.total) : "?";
	const parts = p.total > 0 || p.done > 0 ? [`${count(p.done)}/${total}`] : [];
	if (p.state === "running" && p.rate > 0)
		parts.push(`${rate(p.rate)} ${task === "preview" ? "" : unit}/s`.replace(" /", "/"));
	// A rate of a few steps says nothing of the time left.
	if (p.state === "running" && p.left > 0 && p.done >= MEASURED)
		parts.push(`${duration(p.left)} left`);
	const gone = running && state.gone.value;
	const ends = {
		running: "",
		waiting: "waits for its turn",
		done: "done",
		stopped: "stopped",
		failed: "failed",
	}[p.state];
	if (gone) parts.splice(1, 3, "the kernel went away");
	else if (ends) parts.push(ends);
	return (
		<div class={`nw-progress nw-progress-${task}`} data-state={gone ? "failed" : p.state}>
			<span class="nw-progress-name" aria-hidden="true">
				{NAMES[task]}
			</span>
			<progress
				aria-label={NAMES[task]}
				max={p.total > 0 ? p.total : 1}
				{...(p.total > 0 || !running ? { value: p.total > 0 ? p.done : 0 } : {})}
			/>
			<span class="nw-progress-text">
				{other && `${neuronName(p.layer, p.neuron)}: `}
				{parts.join(" · ")}
			</span>
		</div>
	);
}
