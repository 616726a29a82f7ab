import { render as draw } from "preact";
import type { Model } from "../model";
import { addRoot } from "../root";
import { Game, type Side } from "./game";
import { Quiz } from "./quiz";

const SIDES: Record<string, Side> = { ArrowLeft: "left", ArrowRight: "right" };

/** Draw one view of a quiz into `el`. Returns what takes it away again. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
	const end = new AbortController();
	const { element: root } = addRoot(el, "section", "neuron-quiz", end.signal);
	root.setAttribute("aria-label", "Neuron quiz");

	const game = new Game(model, (moved) => {
		// Looked at before the drawing, which may take the focused element away.
		const home = root.getRootNode() as Document | ShadowRoot;
		const focused = root.contains(home.activeElement);
		draw(<Quiz game={game} />, root);
		// The keyboard stays in here, at the way on or at the new question.
		const find = (name: string) => root.querySelector<HTMLElement>(name);
		if (focused && moved)
			(find(".nq-button") ?? find(".nq-prompt"))?.focus({ preventScroll: true });
	});
	draw(<Quiz game={game} />, root);

	root.addEventListener("keydown", (event) => {
		if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
		const side = SIDES[event.key];
		if (!side) return;
		event.preventDefault();
		event.stopPropagation();
		game.choose(side);
	});

	return () => {
		end.abort();
		game.dispose();
		draw(null, root);
		root.remove();
	};
}

export default { render };
