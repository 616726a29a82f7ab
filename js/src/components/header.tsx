import { count, plural } from "../format";
import { useView } from "../view-context";
import { Menu } from "./menu";

/** The network, its layer, the data set and the device. */
export function Header() {
	const { state, commands, datasetOpen, settingsOpen, name } = useView();
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
						<select
							id={`${name}-layer`}
							class="nw-input"
							value={state.selection.layer.value}
							onChange={(e) => commands.select({ layer: e.currentTarget.value }, true)}
						>
							{!layer && (
								<option value={state.selection.layer.value}>
									{state.selection.layer.value || "choose"}
								</option>
							)}
							{network.layers.map((l) => (
								<option key={l.name} value={l.name}>
									{l.name}
								</option>
							))}
						</select>
						{layer && (
							<span class="nw-muted">
								{plural(layer.channels, layer.word ?? "neuron")} · {layer.height} × {layer.width}
								{network.device && (
									<>
										{" · "}
										<span title="Where the network runs">{network.device}</span>
									</>
								)}
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
