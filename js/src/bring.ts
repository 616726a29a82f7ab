import type { View } from "./view-context";

/** A photo that is dropped anywhere on the widget, or pasted into it, is brought. */
export function takePhotos({ root, state, tab }: View, signal: AbortSignal): void {
	if (state.saved) return;
	const on = (name: string, act: (e: Event, data: DataTransfer) => void): void =>
		root.addEventListener(
			name,
			(e) => {
				const data = (e as DragEvent).dataTransfer ?? (e as ClipboardEvent).clipboardData;
				if (!data?.types.includes("Files") || !state.network.value) return;
				// Or the notebook, or the browser, would open it.
				e.preventDefault();
				e.stopPropagation();
				act(e, data);
			},
			{ signal },
		);
	const bring = (_: Event, { files }: DataTransfer): void => {
		delete root.dataset.drop;
		if (!files[0]) return;
		tab.value = true;
		void state.looking.bring(files[0]);
	};
	on("dragover", () => {
		root.dataset.drop = "";
	});
	on("dragleave", (e) => {
		if (!root.contains((e as DragEvent).relatedTarget as Node)) delete root.dataset.drop;
	});
	on("drop", bring);
	on("paste", bring);
}
