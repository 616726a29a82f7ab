import type { Model } from "../model";
import { fromState } from "./from-state";
import { SavedModel } from "./saved-model";

// The code that comes with the state of a saved notebook: the widget runs it where it finds it.
globalThis.neuronWidgetSaved = (model: Model) =>
	new SavedModel(fromState((name) => model.get(name)));
