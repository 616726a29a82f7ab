import { afterEach, beforeEach } from "vitest";
import factory from "../src/index";
import { TestModel } from "./helpers";

/** Time for the page to draw what it was told. */
export const drawn = async (): Promise<void> => {
	// Drawing, what is done after it, and what that draws: each waits for a frame, and then a turn.
	for (let i = 0; i < 3; i++)
		await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 10)));
};

/** A widget that is drawn anew for every test of the block that calls this. */
export class DrawnPage {
	model = new TestModel();
	el = document.createElement("div");

	constructor() {
		let end: AbortController;
		beforeEach(async () => {
			this.model = new TestModel();
			this.el = document.createElement("div");
			document.body.append(this.el);
			end = new AbortController();
			const widget = factory();
			widget.initialize({ model: this.model, signal: end.signal });
			widget.render({ model: this.model, el: this.el, signal: end.signal });
			await drawn();
		});
		afterEach(() => {
			end.abort();
			this.el.remove();
		});
	}

	all<E extends HTMLElement>(selector: string): E[] {
		return [...this.el.querySelectorAll<E>(selector)];
	}

	one<E extends HTMLElement>(selector: string): E {
		const found = this.all<E>(selector);
		if (found.length !== 1) throw new Error(`${found.length} x ${selector}`);
		return found[0] as E;
	}

	async click(name: string): Promise<void> {
		const found = this.all("button").find(
			(b) => (b.getAttribute("aria-label") ?? b.textContent?.trim()) === name,
		);
		if (!found) throw new Error(`no button ${name}`);
		found.click();
		await drawn();
	}

	/** The field with a label. */
	field<E extends HTMLElement>(text: string): E {
		const label = this.all("label").find((l) => l.textContent?.trim() === text);
		return this.one<E>(`[id="${label?.getAttribute("for") ?? label?.querySelector("input")?.id}"]`);
	}
}
