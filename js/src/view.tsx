import { signal } from "@preact/signals";
import { render } from "preact";
import { takePhotos } from "./bring";
import { App } from "./components/app";
import { addRoot } from "./root";
import { type View, ViewContext } from "./view-context";
import type { Widget } from "./widget";

// crypto.randomUUID is missing on plain http, where many JupyterHubs live.
const newName = (): string => `view-${Math.random().toString(36).slice(2, 12)}`;

/** Draw one view of a widget into `el`. Returns what takes it away again. */
export function mount({ state, commands }: Widget, el: HTMLElement): () => void {
	const end = new AbortController();
	const { element: root, lookAtTheme } = addRoot(el, "div", "neuron-widget", end.signal);
	if (state.saved) root.dataset.saved = "";

	const view: View = {
		state,
		commands,
		root,
		name: newName(),
		mapMode: signal("blend"),
		opacity: signal(0.85),
		sort: signal("index"),
		open: signal(null),
		tab: signal(false),
		hovered: signal(-1),
		faded: signal(false),
		datasetOpen: signal(null),
		settingsOpen: signal(false),
		menuOpen: signal(false),
		filter: signal(""),
	};
	render(
		<ViewContext.Provider value={view}>
			<App />
		</ViewContext.Provider>,
		root,
	);

	takePhotos(view, end.signal);
	commands.viewReady(view.name);
	const sight = new IntersectionObserver((entries) => {
		lookAtTheme();
		const last = entries.at(-1);
		if (last) commands.viewVisible(view.name, last.isIntersecting);
	});
	sight.observe(root);

	return () => {
		if (end.signal.aborted) return;
		end.abort();
		sight.disconnect();
		commands.viewVisible(view.name, false, true);
		render(null, root);
		root.remove();
	};
}
