import { type Signal, signal } from "@preact/signals";
import type { Frame } from "./protocol";

/** A moving picture on screen. */
export interface LiveFrame {
	picture: ImageBitmap;
	frame: Frame;
}

type Decode = (data: DataView<ArrayBuffer>) => Promise<ImageBitmap>;

const decodeImage: Decode = async (data) =>
	createImageBitmap(new Blob([data], { type: "image/jpeg" }));

/**
 * The page's end of the frame protocol: a frame is decoded, shown, then acknowledged where it asks
 * for it. While one is being decoded only the newest other waits; what it supersedes is
 * acknowledged and dropped.
 */
export class Frames {
	readonly shown: Signal<LiveFrame | null> = signal(null);
	#waiting: { frame: Frame; data: DataView<ArrayBuffer> } | null = null;
	#decoding = false;
	#turn = 0;

	constructor(
		readonly answer: (index: number) => void,
		readonly still: () => boolean,
		readonly decode: Decode = decodeImage,
	) {}

	receive(frame: Frame, data: DataView<ArrayBuffer>): void {
		if (this.still()) {
			// Reduced motion: only finished images are shown, but the kernel must not wait.
			this.#ack(frame);
			return;
		}
		if (this.#waiting) this.#ack(this.#waiting.frame);
		this.#waiting = { frame, data };
		if (!this.#decoding) void this.#work();
	}

	/** Show no moving picture, and none that is still being decoded. */
	clear(): void {
		this.#turn += 1;
		if (this.#waiting) this.#ack(this.#waiting.frame);
		this.#waiting = null;
		const old = this.shown.peek();
		this.shown.value = null;
		old?.picture.close();
	}

	#ack(frame: Frame): void {
		if (frame.ack !== false) this.answer(frame.index);
	}

	async #work(): Promise<void> {
		this.#decoding = true;
		while (this.#waiting) {
			const { frame, data } = this.#waiting;
			this.#waiting = null;
			const turn = this.#turn;
			const picture = await this.decode(data).catch(() => null);
			if (picture && turn === this.#turn) {
				const old = this.shown.peek();
				this.shown.value = { picture, frame };
				old?.picture.close();
			} else {
				picture?.close();
			}
			this.#ack(frame);
		}
		this.#decoding = false;
	}
}
