import { type Signal, signal } from "@preact/signals";
import type { ComponentType } from "preact";
import type { FromPage } from "./protocol";
import { runModule } from "./run-module";
import { shared } from "./shared";

/** What is seldom opened: it comes with panels.js, after the page is drawn. */
export type PanelName =
	| "Choices"
	| "Facets"
	| "PhotoDialog"
	| "Pinned"
	| "SettingsPanel"
	| "YourPhoto";
export type Panels = Record<PanelName, ComponentType>;

/** Names the panels that belong to this widget.js: build.mjs puts it here. */
declare const PANELS_KEY: string;

declare global {
	/** Panels that have come, for every widget of the page: each draws them with its own Preact. */
	var neuronWidgetPanels: Record<string, (shared: unknown[]) => Panels> | undefined;
}

/** How long the panels may wait for the page to have nothing else to do. */
const IDLE_MS = 2_000;

/** The panels of one widget: there, on their way, or not to be had. */
export class OnDemand {
	readonly panels: Signal<Panels | null> = signal(null);
	/** Why they did not come. */
	readonly problem: Signal<string> = signal("");
	#soon = false;

	/** `ask` sends a message to the kernel; `quietly` where the person does not wait for it. */
	constructor(readonly ask: (message: FromPage, quietly: boolean) => void) {
		this.#take();
	}

	/** Have them brought when the page has nothing else to do. */
	soon(): void {
		if (this.#soon || this.panels.peek()) return;
		this.#soon = true;
		const bring = (): void => this.bring(true);
		// Safari has no idle time to tell of.
		if ("requestIdleCallback" in globalThis) requestIdleCallback(bring, { timeout: IDLE_MS });
		else setTimeout(bring, IDLE_MS);
	}

	/** Have them brought now. */
	bring(quietly = false): void {
		this.problem.value = "";
		if (!this.#take()) this.ask({ kind: "panels" }, quietly);
	}

	async apply(code: DataView<ArrayBuffer> | undefined): Promise<void> {
		if (code && !this.panels.peek()) await runModule(code);
		if (!this.#take())
			this.problem.value = Object.keys(globalThis.neuronWidgetPanels ?? {}).length
				? "The kernel has another version of neuron-widget than this page: run the cell again."
				: "This page does not let it in.";
	}

	/** Whether they are there; those that came for another widget will do. */
	#take(): boolean {
		this.panels.value ??= globalThis.neuronWidgetPanels?.[PANELS_KEY]?.(shared()) ?? null;
		return this.panels.value !== null;
	}
}
