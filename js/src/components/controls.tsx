import type { ComponentChildren } from "preact";
import { count, heading } from "../format";
import { MAX_STEPS, MIN_STEPS, STEP_STOPS, stepsAt, stopOf } from "../steps";
import { wordOf } from "../target";
import { useView } from "../view-context";
import { IconButton } from "./icon";
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

/** A slider with its number box; `place` is where it stands between 0 and `last`. */
function Slider(props: {
	name: string;
	place: number;
	last: number;
	value: number;
	min: number;
	max: number;
	says?: string | undefined;
	/** What stands beside the name: a name of the value; default the range. */
	reads?: string | undefined;
	onMove: (place: number, settled: boolean) => void;
	onSet: (value: number) => void;
	children: ComponentChildren;
}) {
	const { name, place, last, value, min, max, reads, onMove, onSet } = props;
	const id = `${useView().name}-${name.toLowerCase()}`;
	return (
		<div class="nw-slider-row">
			<span class="nw-slider-name">
				<label for={id}>{name}</label>{" "}
				<span class="nw-muted" title={reads}>
					{reads || `${min}–${max}`}
				</span>
			</span>
			<input
				id={id}
				class="nw-range"
				type="range"
				min={0}
				max={last}
				step={1}
				value={place}
				aria-valuetext={props.says}
				style={{ "--nw-fill": `${last ? (100 * place) / last : 0}%` }}
				onInput={(e) => onMove(e.currentTarget.valueAsNumber, false)}
				onChange={(e) => onMove(e.currentTarget.valueAsNumber, true)}
			/>
			<NumberBox name={`${name} number`} value={value} min={min} max={max} onSet={onSet} />
			<div class="nw-steppers">{props.children}</div>
		</div>
	);
}

function NeuronControl() {
	const { state, commands } = useView();
	const info = state.layerInfo.value;
	const last = Math.max(0, (info?.channels ?? 1) - 1);
	const neuron = state.selection.neuron.value;
	const called = info?.names?.[neuron];
	const select = (to: number, settled = true): void => commands.select({ neuron: to }, settled);
	const go = (to: number): void => select((to + last + 1) % (last + 1));
	const random = (): void => {
		const alive = Array.from({ length: last + 1 }, (_, n) => n).filter(
			(n) => n !== neuron && !state.isDead(n),
		);
		const pick = alive[Math.floor(Math.random() * alive.length)];
		if (pick !== undefined) go(pick);
	};
	return (
		<Slider
			name={heading(info?.word)}
			place={neuron}
			last={last}
			value={neuron}
			min={0}
			max={last}
			says={called}
			reads={called}
			onMove={select}
			onSet={select}
		>
			<IconButton name="Previous neuron" icon="previous" onClick={() => go(neuron - 1)} />
			<IconButton name="Next neuron" icon="next" onClick={() => go(neuron + 1)} />
			<IconButton name="Random neuron" icon="random" onClick={random} />
		</Slider>
	);
}

function StepsControl() {
	const { state, commands } = useView();
	const steps = state.selection.steps.value;
	return (
		<Slider
			name="Steps"
			place={stopOf(steps)}
			last={STEP_STOPS.length - 1}
			value={steps}
			min={MIN_STEPS}
			max={MAX_STEPS}
			says={`${steps} steps`}
			onMove={(stop, settled) => commands.select({ steps: stepsAt(stop) }, settled)}
			onSet={(value) => commands.select({ steps: value }, true)}
		>
			<span class="nw-muted">log scale</span>
		</Slider>
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
						Render optimises an image until this{" "}
						{wordOf(state.selection.target.value, state.layerInfo.value)} fires strongly.
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
