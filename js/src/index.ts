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
	const shared = (model: Model): Widget => {
		widget ??= new Widget(model);
		return widget;
	};

	return {
		initialize({ model, signal }: Props) {
			shared(model);
			const end = (): void => {
				widget?.dispose();
				widget = undefined;
			};
			signal?.addEventListener("abort", end);
			return end;
		},

		render({ model, el, signal }: Props & { el: HTMLElement }) {
			const unmount = mount(shared(model), el);
			signal?.addEventListener("abort", unmount);
			return unmount;
		},
	};
};
