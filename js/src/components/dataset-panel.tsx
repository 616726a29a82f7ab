import { useState } from "preact/hooks";
import { sendOnEnter } from "../enter";
import { count, plural } from "../format";
import { useView } from "../view-context";
import { ErrorPanel } from "./error-panel";
import { ProgressRow } from "./progress-row";

/** Which photos the neurons are looked up in: named, changed, scanned, and what was skipped. */
export function DatasetPanel() {
	const { state, commands, datasetOpen, name } = useView();
	const [path, setPath] = useState("");
	const dataset = state.dataset.value;
	const open = datasetOpen.value ?? dataset === null;
	const scan = state.scanRow.value;
	// A question, or an error, says more than that the scan stopped.
	const row = scan?.state === "stopped" && state.errors.at("scan") ? null : scan;
	const asked = state.tasks.scan.asked.value === "start";
	const scannable = path.trim() !== "" || Boolean(dataset);
	return (
		<div class="nw-dataset" id={`${name}-dataset`}>
			{open && (
				<form
					class="nw-dataset-form"
					onKeyDown={sendOnEnter}
					onSubmit={(e) => {
						e.preventDefault();
						// Nothing typed: the same photos again, such as after a stop.
						if (scannable) commands.scan(path.trim());
					}}
				>
					{dataset === null && (
						<div class="nw-dataset-ways">
							<strong>No photos to look into yet.</strong> Three ways to give some:
							<ol>
								<li>type the path of a folder of photos here;</li>
								<li>
									type <code>samples</code> (photographs that come with the package) or{" "}
									<code>imagenette</code> (about 0.3 GB; asks before it downloads);
								</li>
								<li>
									write{" "}
									<code>
										NeuronWidget("{state.selection.layer.value}", dataset="path/to/photos")
									</code>{" "}
									in the cell.
								</li>
							</ol>
						</div>
					)}
					<div class="nw-row">
						<label class="nw-label" for={`${name}-path`}>
							Data set folder or name
						</label>
						<input
							id={`${name}-path`}
							class="nw-input nw-path"
							type="text"
							value={path}
							placeholder="path/to/photos, samples, imagenette"
							autocomplete="off"
							spellcheck={false}
							onInput={(e) => setPath(e.currentTarget.value)}
						/>
						<button type="submit" class="nw-button" aria-disabled={!scannable}>
							Scan
						</button>
					</div>
					{dataset?.note && <p class="nw-muted">{dataset.note}</p>}
					{dataset && dataset.skipped_count > 0 && (
						<details class="nw-details">
							<summary>
								{plural(dataset.skipped_count, "file")} could not be read and{" "}
								{dataset.skipped_count === 1 ? "was" : "were"} skipped
							</summary>
							<ul class="nw-skipped">
								{dataset.skipped.map((file) => (
									<li key={file}>{file}</li>
								))}
								{dataset.skipped_count > dataset.skipped.length && (
									<li>and {count(dataset.skipped_count - dataset.skipped.length)} more</li>
								)}
							</ul>
						</details>
					)}
				</form>
			)}
			{asked && !row && <p class="nw-muted">Scan requested</p>}
			{row && <ProgressRow task="scan" p={row} />}
			<ErrorPanel where="scan" />
		</div>
	);
}
