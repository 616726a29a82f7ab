import { count } from "../format";
import { MAX_STEPS, MIN_STEPS, STEP_STOPS, stepsAt, stopOf } from "../steps";
import { wordOf } from "../target";
import { useView } from "../view-context";
import { Icon } from "./icon";
import { NumberBox } from "./number-box";
import { ProgressRow } from "./progress-row";

/** Which neuron, how many steps, and the buttons that start and stop the work. */
export function Controls() {
	return (
		<section class="nw-controls" aria-label="Controls">
			<NeuronControl />
			<StepsControl />
			<Buttons />
		</section>
	);
}

/** A slider's label, and between what it moves. */
function Name(props: { of: string; name: string; range: string }) {
	return (
		<span class="nw-slider-name">
			<label for={props.of}>{props.name}</label> <span class="nw-muted">{props.range}</span>
		</span>
	);
}

function NeuronControl() {
	const { state, commands, name } = useView();
	const last = Math.max(0, (state.layerInfo.value?.channels ?? 1) - 1);
	const neuron = state.selection.neuron.value;
	const go = (to: number): void => commands.select({ neuron: (to + last + 1) % (last + 1) }, true);
	const random = (): void => {
		const alive = Array.from({ length: last + 1 }, (_, n) => n).filter(
			(n) => n !== neuron && !state.isDead(n),
		);
		const pick = alive[Math.floor(Math.random() * alive.length)];
		if (pick !== undefined) go(pick);
	};
	return (
		<div class="nw-slider-row">
			<Name of={`${name}-neuron`} name="Neuron" range={`0–${last}`} />
			<input
				id={`${name}-neuron`}
				class="nw-range"
				type="range"
				min={0}
				max={last}
				step={1}
				value={neuron}
				style={{ "--nw-fill": `${last ? (100 * neuron) / last : 0}%` }}
				onInput={(e) => commands.select({ neuron: e.currentTarget.valueAsNumber }, false)}
				onChange={(e) => commands.select({ neuron: e.currentTarget.valueAsNumber }, true)}
			/>
			<NumberBox
				name="Neuron number"
				value={neuron}
				min={0}
				max={last}
				onSet={(value) => commands.select({ neuron: value }, true)}
			/>
			<div class="nw-steppers">
				<button
					type="button"
					class="nw-button nw-icon"
					aria-label="Previous neuron"
					title="Previous neuron"
					onClick={() => go(neuron - 1)}
				>
					<Icon name="previous" />
				</button>
				<button
					type="button"
					class="nw-button nw-icon"
					aria-label="Next neuron"
					title="Next neuron"
					onClick={() => go(neuron + 1)}
				>
					<Icon name="next" />
				</button>
				<button
					type="button"
					class="nw-button nw-icon"
					aria-label="Random neuron"
					title="Random neuron"
					onClick={random}
				>
					<Icon name="random" />
				</button>
			</div>
		</div>
	);
}

function StepsControl() {
	const { state, commands, name } = useView();
	const steps = state.selection.steps.value;
	const stop = stopOf(steps);
	return (
		<div class="nw-slider-row">
			<Name of={`${name}-steps`} name="Steps" range={`${MIN_STEPS}–${MAX_STEPS}`} />
			<input
				id={`${name}-steps`}
				class="nw-range"
				type="range"
				min={0}
				max={STEP_STOPS.length - 1}
				step={1}
				value={stop}
				aria-valuetext={`${steps} steps`}
				style={{ "--nw-fill": `${(100 * stop) / (STEP_STOPS.length - 1)}%` }}
				onInput={(e) => commands.select({ steps: stepsAt(e.currentTarget.valueAsNumber) }, false)}
				onChange={(e) => commands.select({ steps: stepsAt(e.currentTarget.valueAsNumber) }, true)}
			/>
			<NumberBox
				name="Steps number"
				value={steps}
				min={MIN_STEPS}
				max={MAX_STEPS}
				onSet={(value) => commands.select({ steps: value }, true)}
			/>
			<span class="nw-steppers nw-muted">log scale</span>
		</div>
	);
}

function Buttons() {
	const { state, commands } = useView();
	const { render } = state.tasks;
	const asked = render.asked.value;
	const picture = state.media.picture(state.selection.target.value);
	const busy = render.busy.value && !state.gone.value;
	const progress = state.renderRow.value;
	const gone = state.gone.value;
	return (
		<div class="nw-row nw-buttons">
			<button
				type="button"
				class="nw-button nw-primary"
				aria-disabled={gone}
				onClick={() => {
					if (!gone) commands.start();
				}}
			>
				Render
			</button>
			<button
				type="button"
				class="nw-button"
				title="End the rendering; what is there is kept"
				aria-disabled={!busy}
				onClick={() => {
					if (busy) commands.stop("render");
				}}
			>
				Stop
			</button>
			<MoreSteps />
			<div class="nw-render-state">
				{progress && <ProgressRow task="render" p={progress} />}
				{asked === "stop" && <span class="nw-asked">Stop requested</span>}
				{asked === "start" && <span class="nw-asked">Render requested</span>}
				{!progress && !asked && !picture && (
					<span class="nw-muted">
						Render optimises an image until this {wordOf(state.selection.target.value)} fires
						strongly.
					</span>
				)}
			</div>
		</div>
	);
}

/** Goes on from the present image: to where it was stopped, or beyond. */
function MoreSteps() {
	const { state, commands } = useView();
	const to = state.moreTo.value;
	const image = state.media.picture(state.selection.target.value)?.image;
	const there = image?.step ?? 0;
	const stopped = image ? image.step < image.steps : to > 0;
	const reason = state.gone.value
		? "The kernel does not answer"
		: there >= MAX_STEPS
			? `${count(MAX_STEPS)} steps are the most`
			: "No image yet";
	return (
		<button
			type="button"
			class="nw-button"
			aria-disabled={!to}
			title={to ? `Go on from step ${count(there)} to ${count(to)}` : reason}
			onClick={() => commands.more()}
		>
			{stopped ? "Resume" : "More steps"}
			{to > 0 && <span class="nw-muted nw-plain">to {count(to)}</span>}
		</button>
	);
}
