import { viewOf } from "./buffers";
import { Contact } from "./contact";
import type { Model } from "./model";
import { Poll } from "./poll";
import type * as P from "./protocol";

/** How long after a command work of the kernel may still begin. */
const EXPECTING_MS = 6_000;
const TRAITS = ["layer", "neuron", "steps"].map((name) => `change:${name}`);

/** Who listens to the kernel. */
export interface Listener {
	message(message: P.ToPage, buffers: DataView<ArrayBuffer>[]): void;
	/** A trait changed. */
	traits(): void;
	/** Whether the kernel has work, so that more messages should come. */
	expecting(): boolean;
}

/** The line to the kernel: the only place where messages go out and come in. */
export class Connection {
	readonly contact = new Contact();
	#listener: Listener | undefined;
	#commanded = Number.NEGATIVE_INFINITY;
	readonly #poll = new Poll(
		(more) => this.ask({ kind: "poll", more }),
		() => this.#listener?.expecting() || performance.now() - this.#commanded < EXPECTING_MS,
	);
	#off = (): void => {};

	constructor(readonly model: Model) {}

	listen(listener: Listener): void {
		const { model } = this;
		const onMessage = (content: P.ToPage, buffers?: BufferSource[] | null): void => {
			this.contact.heard();
			// A network that has just opened begins its work by itself, as after a command.
			if (content.kind === "opened") this.#commanded = performance.now();
			this.#poll.heard(content.kind);
			this.#poll.poke();
			listener.message(content, (buffers ?? []).map(viewOf));
		};
		const onTrait = (): void => {
			this.contact.heard();
			listener.traits();
		};
		// JupyterLab says so when the kernel was restarted; a question that is answered says the
		// contrary. Other hosts have no such event: there the silence tells.
		const onLive = (): void => {
			this.contact.lost();
			this.ask({ kind: "poll", more: false });
		};
		this.#listener = listener;
		model.on("msg:custom", onMessage);
		model.on("comm_live_update", onLive);
		for (const name of TRAITS) model.on(name, onTrait);
		this.#off = () => {
			model.off("msg:custom", onMessage);
			model.off("comm_live_update", onLive);
			for (const name of TRAITS) model.off(name, onTrait);
		};
	}

	/** Send a message that the kernel does not answer. */
	send(message: P.FromPage, buffers?: BufferSource[]): void {
		try {
			if (buffers) this.model.send(message, undefined, buffers);
			else this.model.send(message);
		} catch {
			// JupyterLab throws once the kernel behind the comm is gone: say so, keep the images.
			this.contact.lost();
		}
	}

	/** Send a command that the kernel answers. */
	ask(message: P.FromPage, buffers?: BufferSource[]): void {
		this.contact.asked();
		if (message.kind !== "poll") this.#commanded = performance.now();
		this.#poll.poke();
		this.send(message, buffers);
	}

	dispose(): void {
		this.#off();
		this.contact.dispose();
		this.#poll.dispose();
	}
}
