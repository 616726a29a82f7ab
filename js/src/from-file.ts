import type { Model } from "./model";
import { runModule } from "./run-module";

declare global {
	/** What stands in for the kernel where there is none. */
	var neuronWidgetSaved: ((model: Model) => Model) | undefined;
}

/**
 * A widget out of a notebook file: another model stands in for the kernel, and the code for it is in
 * the file too, and that of the panels.
 */
export async function fromFile(model: Model, become: (model: Model) => void): Promise<void> {
	const { code } = model.get("_saved") as { code: string };
	await runModule(code);
	const saved = globalThis.neuronWidgetSaved?.(model);
	if (!saved) return;
	become(saved);
	// Some hosts keep the state of a widget whose kernel is there: if it answers, it has the say.
	const live = (): void => {
		model.off("msg:custom", live);
		become(model);
	};
	model.on("msg:custom", live);
	model.send({ kind: "poll", more: false });
}
