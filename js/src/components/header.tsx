import { useState } from "preact/hooks";
import { count, plural } from "../format";
import type { Layer } from "../protocol";
import { useView } from "../view-context";
import { Menu } from "./menu";

/** The network, its layer, the data set and the device. */
export function Header() {
	const { state, datasetOpen, settingsOpen, name } = useView();
	const network = state.network.value;
	const layer = state.layerInfo.value;
	const dataset = state.dataset.value;
	const opening = state.opening.value;
	const open = datasetOpen.value ?? dataset === null;
	return (
		<div class="nw-header">
			<div class="nw-header-row">
				<strong class="nw-title">{network?.title ?? "Neuron widget"}</strong>
				{network && (
					<>
						<label class="nw-label" for={`${name}-layer`}>
							Layer
						</label>
						<LayerBox />
						{layer && (
							<span class="nw-muted">
								{plural(layer.channels, layer.word ?? "neuron")} · {sizeOf(layer)}
								{/* Not known before the network is open: its place is kept, so that nothing jumps. */}
								<span class={network.device ? "" : "nw-not-yet"}>
									{" · "}
									<span title="Where the network runs">{network.device || "cpu"}</span>
								</span>
							</span>
						)}
						<div class="nw-header-tools">
							<button
								type="button"
								class="nw-button nw-chip"
								aria-expanded={open}
								aria-controls={`${name}-dataset`}
								onClick={() => {
									datasetOpen.value = !open;
								}}
							>
								<span class="nw-chip-text" title={dataset?.name}>
									{dataset ? dataset.name : dataset === null ? "No photos yet" : "Data set"}
								</span>
								{dataset && (
									<span class="nw-muted">
										{plural(dataset.photos, "photo")}
										{dataset.skipped_count > 0 && `, ${count(dataset.skipped_count)} skipped`}
									</span>
								)}
								<span class="nw-caret" aria-hidden="true" />
							</button>
							<button
								type="button"
								class="nw-button nw-chip"
								aria-expanded={settingsOpen.value}
								aria-controls={`${name}-settings`}
								onClick={() => {
									settingsOpen.value = !settingsOpen.value;
								}}
							>
								Settings
								<span class="nw-caret" aria-hidden="true" />
							</button>
							<Menu />
						</div>
					</>
				)}
			</div>
			{network?.note && <p class="nw-header-note">{network.note}</p>}
			{opening && (
				<p class="nw-opening" role="status">
					{opening}
				</p>
			)}
		</div>
	);
}

const sizeOf = (layer: Layer): string =>
	layer.kind === "token"
		? "one token"
		: `${layer.height} × ${layer.width}${layer.kind === "tokens" ? " tokens" : ""}`;

/** The layer: chosen from the menu, which typing filters, or typed; deeper ones have names, too. */
function LayerBox() {
	const { state, commands, name } = useView();
	const now = state.selection.layer.value;
	const layers = state.network.value?.layers ?? [];
	const [typed, type] = useState<string | null>(null);
	const choose = (text: string): void => {
		const has = (test: (name: string) => boolean): string | undefined =>
			layers.find((l) => test(l.name))?.name;
		const layer = has((n) => n === text) ?? has((n) => n.includes(text)) ?? text;
		if (text && layer !== now) commands.select({ layer }, true);
		type(null);
	};
	return (
		<>
			<input
				id={`${name}-layer`}
				class="nw-input nw-layer"
				list={`${name}-layers`}
				autocomplete="off"
				spellcheck={false}
				value={typed ?? now}
				placeholder={now || "choose"}
				// The browser lists what fits the text: all of it, to begin with.
				onFocus={() => type("")}
				onBlur={() => type(null)}
				onInput={(e) => type(e.currentTarget.value)}
				// Picked from the list, or typed to its end.
				onChange={({ currentTarget: { value } }) =>
					layers.some((l) => l.name === value) && choose(value)
				}
				onKeyDown={(e) => {
					if (e.key === "Enter") choose(e.currentTarget.value.trim());
				}}
			/>
			<datalist id={`${name}-layers`}>
				{layers.map((l) => (
					<option key={l.name} value={l.name}>
						{l.group && `${l.group} · `}
						{sizeOf(l)}
					</option>
				))}
			</datalist>
		</>
	);
}
