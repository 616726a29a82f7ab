import { followTheme } from "./theme";

/** The element that a view is drawn into, and what looks again whether the page is dark. */
export interface Root<E extends HTMLElement> {
	element: E;
	lookAtTheme: () => void;
}

/** Put the root of a view into a host's element: it follows the theme until `signal` aborts. */
export function addRoot<K extends keyof HTMLElementTagNameMap>(
	el: HTMLElement,
	tag: K,
	className: string,
	signal: AbortSignal,
): Root<HTMLElementTagNameMap[K]> {
	const element = document.createElement(tag);
	element.className = className;
	// JupyterLab's command-mode keys (D D deletes the cell!) act on a focused slider otherwise. Its
	// bindings match the focused element itself, so the mark on an ancestor alone is not enough.
	element.dataset.lmSuppressShortcuts = "true";
	element.addEventListener("focusin", (event) => {
		if (event.target instanceof HTMLElement) event.target.dataset.lmSuppressShortcuts = "true";
	});
	el.append(element);
	return { element, lookAtTheme: followTheme(element, signal) };
}
