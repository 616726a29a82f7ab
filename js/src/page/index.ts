import type { Model } from "../model";
import type { Saved } from "./data";
import { SavedModel } from "./saved-model";

interface Module {
	initialize(props: { model: Model }): unknown;
	render(props: { model: Model; el: HTMLElement }): unknown;
}

/** The widget itself: the script before this one in the page is widget.js, which puts it here. */
declare global {
	var neuronWidget: () => Module;
}

/** A saved page: the widget as it is in a notebook, over what the page holds. */
function start(): void {
	const text = document.getElementById("neuron-widget-data")?.textContent ?? "";
	const el = document.getElementById("neuron-widget") as HTMLElement;
	const saved = JSON.parse(text) as Saved;
	const model = new SavedModel(saved);
	const widget = globalThis.neuronWidget();
	widget.initialize({ model });
	widget.render({ model, el });
	if (saved.filter) narrow(el, saved.filter);
}

/** Show in the gallery what the page holds; the person sees the filter, and can take it away. */
function narrow(el: HTMLElement, filter: string): void {
	const watch = new MutationObserver(() => {
		const field = el.querySelector<HTMLInputElement>(".nw-filter input");
		if (!field) return;
		watch.disconnect();
		field.value = filter;
		field.dispatchEvent(new Event("input", { bubbles: true }));
	});
	watch.observe(el, { childList: true, subtree: true });
}

start();
