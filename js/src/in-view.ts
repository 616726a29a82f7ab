import type * as P from "./protocol";
import { Throttle } from "./throttle";

const GAP_MS = 250;

/** Tells the kernel which tiles are in sight, and the same ones only once. */
export class InView {
	readonly #tell: Throttle<{ layer: string; neurons: number[] }>;
	#told = "";

	constructor(send: (message: P.InView) => void) {
		this.#tell = new Throttle(GAP_MS, ({ layer, neurons }) => {
			const text = `${layer}:${neurons.join()}`;
			if (text === this.#told) return;
			this.#told = text;
			send({ kind: "in_view", neurons });
		});
	}

	tell(layer: string, neurons: number[]): void {
		if (neurons.length > 0) this.#tell.push({ layer, neurons });
	}

	/** The kernel may not know it any more. */
	forget(): void {
		this.#told = "";
	}

	dispose(): void {
		this.#tell.cancel();
	}
}
