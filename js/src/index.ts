import { fromFile } from "./from-file";
import type { Model } from "./model";
import { mount } from "./view";
import { Widget } from "./widget";

interface Props {
	model: Model;
	signal?: AbortSignal;
}

/**
 * The anywidget module. anywidget calls this factory once for a model and then `initialize` once
 * and `render` for each output; the model objects it hands to them are different proxies of one
 * model, so the widget lives in this closure.
 */
export default () => {
	let widget: Widget | undefined;
	const views = new Set<() => void>();
	const end = (): void => {
		widget?.dispose();
		widget = undefined;
	};
	const shared = (model: Model): Widget => {
		widget ??= new Widget(model);
		return widget;
	};
	/** Begin anew with another model; what is drawn is drawn again. */
	const become = (model: Model): void => {
		end();
		shared(model);
		for (const again of views) again();
	};

	return {
		initialize({ model, signal }: Props) {
			signal?.addEventListener("abort", end);
			if (model.get("_saved")) return fromFile(model, become).then(() => end);
			shared(model);
			return end;
		},

		render({ model, el, signal }: Props & { el: HTMLElement }) {
			let unmount = mount(shared(model), el);
			const again = (): void => {
				unmount();
				unmount = mount(shared(model), el);
			};
			views.add(again);
			const leave = (): void => {
				views.delete(again);
				unmount();
			};
			signal?.addEventListener("abort", leave);
			return leave;
		},
	};
};
