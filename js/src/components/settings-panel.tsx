import { useEffect, useState } from "preact/hooks";
import { sendOnEnter } from "../enter";
import type { Configure } from "../protocol";
import { DEFAULTS } from "../render-settings";
import { useView } from "../view-context";

type Wanted = Omit<Configure, "kind">;

const RANGES = {
	size: { min: 32, max: 1024, step: 1 },
	lr: { min: 0.001, max: 10, step: "any" },
	seed: { min: 0, max: 2 ** 31 - 1, step: 1 },
} as const;

const ONLY = ["size", "lr", "seed", "objective", "previews"] as const;

const pick = (from: Wanted): Wanted => {
	const { size, lr, seed, objective, previews } = from;
	return { size, lr, seed, objective, previews };
};

/** How images are made, and what each setting changes. */
export function SettingsPanel() {
	const { state, settingsOpen, name } = useView();
	const now = state.renderSettings.now.value;
	const [draft, setDraft] = useState<Wanted | null>(null);
	// What another view or Python sets takes the place of what was typed here.
	useEffect(() => setDraft(null), [now]);
	if (!now || !settingsOpen.value) return null;
	const wanted = draft ?? pick(now);
	const changed = ONLY.some((key) => wanted[key] !== now[key]);
	const differs = ONLY.some((key) => wanted[key] !== DEFAULTS[key]);
	const remake = changed && ONLY.some((key) => key !== "previews" && wanted[key] !== now[key]);
	const set = (part: Partial<Wanted>): void => setDraft({ ...wanted, ...part });

	const number = (key: "size" | "lr" | "seed", label: string, says: string) => (
		<div class="nw-setting">
			<label for={`${name}-set-${key}`}>{label}</label>
			<input
				id={`${name}-set-${key}`}
				class="nw-input nw-number"
				type="number"
				required
				{...RANGES[key]}
				value={Number.isFinite(wanted[key]) ? wanted[key] : ""}
				aria-describedby={`${name}-says-${key}`}
				onInput={(e) => set({ [key]: e.currentTarget.valueAsNumber })}
			/>
			<p id={`${name}-says-${key}`} class="nw-muted">
				{says}
			</p>
		</div>
	);

	return (
		<form
			class="nw-panel"
			id={`${name}-settings`}
			aria-label="Settings"
			onKeyDown={sendOnEnter}
			onSubmit={(e) => {
				e.preventDefault();
				if (changed) state.renderSettings.change(wanted);
			}}
		>
			<h3 class="nw-heading">Settings</h3>
			<div class="nw-settings-grid">
				{number(
					"size",
					"Size",
					"Side of the image in pixels. Larger shows more repeats and takes longer.",
				)}
				{number(
					"lr",
					"Learning rate",
					"Adam's step size. Larger forms faster and rougher; 0.05 is usual.",
				)}
				{number(
					"seed",
					"Seed",
					"The noise it begins from. Another seed shows another side of the neuron.",
				)}
				<div class="nw-setting">
					<label for={`${name}-set-objective`}>Objective</label>
					<select
						id={`${name}-set-objective`}
						class="nw-input"
						value={wanted.objective}
						aria-describedby={`${name}-says-objective`}
						onChange={(e) => set({ objective: e.currentTarget.value as Wanted["objective"] })}
					>
						<option value="channel">channel</option>
						<option value="neuron">centre unit</option>
					</select>
					<p id={`${name}-says-objective`} class="nw-muted">
						{wanted.objective === "channel"
							? "Channel: the mean over the whole map, so the motif fills the image."
							: "Centre unit: one position only, so the motif stands alone in the middle."}
					</p>
				</div>
				<div class="nw-setting">
					<label class="nw-check">
						<input
							type="checkbox"
							checked={wanted.previews}
							aria-describedby={`${name}-says-previews`}
							onChange={(e) => set({ previews: e.currentTarget.checked })}
						/>
						Previews
					</label>
					<p id={`${name}-says-previews`} class="nw-muted">
						The gallery fills by itself when nothing else runs. Off, tiles fill as you render.
					</p>
				</div>
			</div>
			<div class="nw-row">
				<button type="submit" class="nw-button nw-primary" aria-disabled={!changed}>
					Apply
				</button>
				<button
					type="button"
					class="nw-button"
					aria-disabled={!differs}
					onClick={() => {
						if (differs) set(DEFAULTS);
					}}
				>
					Defaults
				</button>
				<span class="nw-muted" role="status">
					{remake &&
						"Images are made anew; those made before are kept, and come back with their settings."}
				</span>
			</div>
		</form>
	);
}
