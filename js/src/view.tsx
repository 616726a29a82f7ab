import { type Signal, signal } from "@preact/signals";
import { createContext, render } from "preact";
import { useContext } from "preact/hooks";
import { App } from "./components/app";
import type { Group } from "./media";
import type { Sort } from "./order";
import type { Store } from "./store";
import { followTheme } from "./theme";
import type { MapMode } from "./viridis";

/** Which photo is open, and the button that opened it: its place, and where the focus returns. */
export interface OpenPhoto {
	group: Group;
	rank: number;
	from: HTMLElement;
}

/** What belongs to one output rather than to the widget. */
export interface View {
	store: Store;
	/** The element that carries `.neuron-widget`. */
	root: HTMLElement;
	/** Tells this view from another view of the same widget. */
	name: string;
	mapMode: Signal<MapMode>;
	opacity: Signal<number>;
	sort: Signal<Sort>;
	/** The photo that is open large. */
	open: Signal<OpenPhoto | null>;
	datasetOpen: Signal<boolean | null>;
	settingsOpen: Signal<boolean>;
	menuOpen: Signal<boolean>;
	/** What the gallery is narrowed to. */
	filter: Signal<string>;
}

export const ViewContext = createContext<View | null>(null);

/** The view that a component is part of. */
export function useView(): View {
	const view = useContext(ViewContext);
	if (!view) throw new Error("a component of neuron-widget was drawn outside its view");
	return view;
}

// crypto.randomUUID is missing on plain http, where many JupyterHubs live.
const newName = (): string => `view-${Math.random().toString(36).slice(2, 12)}`;

/** Draw one view of a widget into `el`. Returns what takes it away again. */
export function mount(store: Store, el: HTMLElement): () => void {
	const end = new AbortController();
	const root = document.createElement("div");
	root.className = "neuron-widget";
	// JupyterLab's command-mode keys (D D deletes the cell!) act on a focused slider otherwise. Its
	// bindings match the focused element itself, so the mark on an ancestor alone is not enough.
	root.dataset.lmSuppressShortcuts = "true";
	root.addEventListener("focusin", (event) => {
		if (event.target instanceof HTMLElement) event.target.dataset.lmSuppressShortcuts = "true";
	});
	el.append(root);
	const lookAtTheme = followTheme(root, end.signal);

	const view: View = {
		store,
		root,
		name: newName(),
		mapMode: signal("blend"),
		opacity: signal(0.85),
		sort: signal("index"),
		open: signal(null),
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

	store.viewReady(view.name);
	const sight = new IntersectionObserver((entries) => {
		lookAtTheme();
		const last = entries.at(-1);
		if (last) store.viewVisible(view.name, last.isIntersecting);
	});
	sight.observe(root);

	return () => {
		if (end.signal.aborted) return;
		end.abort();
		sight.disconnect();
		store.viewVisible(view.name, false, true);
		render(null, root);
		root.remove();
	};
}
