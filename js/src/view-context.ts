import type { Signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Commands } from "./commands";
import type { Group } from "./media";
import type { Sort } from "./order";
import type { PageState } from "./page-state";
import type { MapMode } from "./viridis";

/**
 * Which photo is open, and the button that opened it: its place, and where the focus returns. While
 * a scan goes on the photo may come to another rank.
 */
export interface OpenPhoto {
	group: Group;
	rank: number;
	index: number;
	from: HTMLElement;
}

/** What belongs to one output, and the widget behind it. */
export interface View {
	state: PageState;
	commands: Commands;
	/** The element that carries `.neuron-widget`. */
	root: HTMLElement;
	/** Tells this view from another view of the same widget. */
	name: string;
	mapMode: Signal<MapMode>;
	opacity: Signal<number>;
	sort: Signal<Sort>;
	/** The photo that is open large. */
	open: Signal<OpenPhoto | null>;
	/** Whether the photos' panel shows the photo that was brought. */
	tab: Signal<boolean>;
	/** The neuron under the pointer, whose map lies on the photo meanwhile; -1 for none. */
	hovered: Signal<number>;
	/** MACO images fade out where the gradient did not care. */
	faded: Signal<boolean>;
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
