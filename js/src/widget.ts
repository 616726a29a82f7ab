import { batch } from "@preact/signals";
import { applyMessage } from "./apply-message";
import { Commands } from "./commands";
import { Connection } from "./connection";
import type { Model } from "./model";
import { PageState } from "./page-state";

/** The page's half of one widget, behind all its views. */
export class Widget {
	readonly state: PageState;
	readonly commands: Commands;
	readonly #connection: Connection;

	constructor(model: Model) {
		const connection = new Connection(model);
		const state = new PageState(connection);
		this.#connection = connection;
		this.state = state;
		this.commands = new Commands(state, connection);
		state.selection.applyTraits(model);
		connection.listen({
			message: (message, buffers) => batch(() => applyMessage(state, message, buffers)),
			traits: () => batch(() => state.selection.applyTraits(model)),
			expecting: () => state.busy.value || state.opening.value !== "",
		});
	}

	dispose(): void {
		this.#connection.dispose();
		this.state.dispose();
	}
}
