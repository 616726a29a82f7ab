import type { Model } from "./model";
import { Store } from "./store";
import { mount } from "./view";

interface Props {
	model: Model;
	signal?: AbortSignal;
}

/**
 * The anywidget module. anywidget calls this factory once for a model and then `initialize` once
 * and `render` for each output; the model objects it hands to them are different proxies of one
 * model, so the store lives in this closure.
 */
export default () => {
	let store: Store | undefined;
	const shared = (model: Model): Store => {
		store ??= new Store(model);
		return store;
	};

	return {
		initialize({ model, signal }: Props) {
			shared(model);
			const end = (): void => {
				store?.dispose();
				store = undefined;
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
