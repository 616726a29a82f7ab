import { useState } from "preact/hooks";
import type { Target } from "../protocol";
import { nameOf, sameTarget } from "../target";
import { useView } from "../view-context";
import { ProgressRow } from "./progress-row";

/** A strip of pictures from one pinned neuron to another, and a slider over it. */
export function Between({ pins }: { pins: Target[] }) {
	const { state, commands, name } = useView();
	const [chosen, choose] = useState<[number, number]>([0, 1]);
	const [place, move] = useState(0);
	const last = pins.length - 1;
	const ends = chosen.map((i) => Math.min(i, last)) as [number, number];
	const [from, to] = ends.map((i) => pins[i] as Target) as [Target, Target];
	const strip = state.strips.of("between", [from, to]);
	const task = state.tasks.between;
	const now = task.progress.value;
	const p = now && sameTarget(now.target, from) && now.state !== "done" ? now : null;
	const missing = [from, to].find((pin) => !state.media.picture(pin));
	const same = sameTarget(from, to);
	const off = !!missing || same || task.busy.value || state.gone.value;
	const called = (pin: Target): string => nameOf(pin, state.layerOf(pin));
	const at = Math.min(place, (strip?.urls.length ?? 1) - 1);
	const shares = strip?.info.shares.map((row) => row[at]) ?? [];
	return (
		<div class="nw-between">
			<h4 class="nw-subheading">
				Between <span class="nw-muted nw-plain">what lies on the way from one to the other</span>
			</h4>
			<div class="nw-row">
				{ends.map((end, i) => (
					<>
						<label class="nw-label" for={`${name}-between-${i}`}>
							{i ? "to" : "From"}
						</label>
						<select
							id={`${name}-between-${i}`}
							class="nw-input"
							value={end}
							onChange={(e) => {
								const other = Number(e.currentTarget.value);
								choose(i ? [ends[0], other] : [other, ends[1]]);
							}}
						>
							{pins.map((pin, j) => (
								<option key={j} value={j}>
									{called(pin)}
								</option>
							))}
						</select>
					</>
				))}
				<button
					type="button"
					class="nw-button nw-small"
					aria-disabled={off}
					title={
						same
							? "Choose two different neurons"
							: missing
								? `${called(missing)} has no finished image yet`
								: "Images that lead from the one to the other"
					}
					onClick={() => {
						if (!off) commands.between(from, to);
					}}
				>
					Render the way
				</button>
			</div>
			{p && <ProgressRow task="between" p={p} />}
			{strip && (
				<div class="nw-way">
					<div class="nw-image-box">
						<img
							class="nw-image"
							src={strip.urls[at]}
							alt={`Step ${at + 1} on the way from ${called(from)} to ${called(to)}`}
							decoding="sync"
						/>
					</div>
					<div class="nw-way-side">
						<label class="nw-label" for={`${name}-way`}>
							Image {at + 1} of {strip.urls.length}
						</label>
						<input
							id={`${name}-way`}
							class="nw-range"
							type="range"
							min={0}
							max={strip.urls.length - 1}
							step={1}
							value={at}
							style={{ "--nw-fill": `${(100 * at) / (strip.urls.length - 1)}%` }}
							onInput={(e) => move(e.currentTarget.valueAsNumber)}
						/>
						<div class="nw-way-strip" aria-hidden="true">
							{strip.urls.map((url, i) => (
								// biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: the slider does the same by keys
								<img
									key={i}
									class={i === at ? "nw-way-now" : ""}
									src={url}
									alt=""
									onClick={() => move(i)}
								/>
							))}
						</div>
						<p class="nw-muted" role="status">
							{[from, to]
								.map((pin, i) =>
									shares[i] === undefined
										? ""
										: `${Math.round(100 * (shares[i] as number))} % of ${called(pin)}`,
								)
								.filter(Boolean)
								.join(" · ")}
						</p>
					</div>
				</div>
			)}
		</div>
	);
}
