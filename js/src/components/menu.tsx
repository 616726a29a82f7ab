import { useEffect, useRef } from "preact/hooks";
import { useView } from "../view-context";
import { Icon } from "./icon";
import { Panel } from "./panel";

/** What can be taken away: the image, the figure, the line of Python. */
export function Menu() {
	const { menuOpen, name } = useView();
	const box = useRef<HTMLDivElement>(null);
	const button = useRef<HTMLButtonElement>(null);
	const open = menuOpen.value;

	useEffect(() => {
		if (!open) return;
		const outside = (e: Event): void => {
			if (!e.composedPath().includes(box.current as EventTarget)) menuOpen.value = false;
		};
		const home = box.current?.ownerDocument;
		home?.addEventListener("pointerdown", outside);
		return () => home?.removeEventListener("pointerdown", outside);
	}, [open, menuOpen]);

	return (
		// biome-ignore lint/a11y/noStaticElementInteractions: Escape closes what the button opened
		<div
			ref={box}
			class="nw-menu"
			onKeyDown={(e) => {
				if (e.key !== "Escape" || !open) return;
				e.stopPropagation();
				menuOpen.value = false;
				button.current?.focus();
			}}
		>
			<button
				ref={button}
				type="button"
				class="nw-button nw-icon"
				aria-label="Save and share"
				title="Save and share"
				aria-expanded={open}
				aria-controls={`${name}-menu`}
				onClick={() => {
					menuOpen.value = !open;
				}}
			>
				<Icon name="save" />
			</button>
			{open && (
				<div class="nw-menu-panel" id={`${name}-menu`}>
					<Panel name="Choices" what="The menu" wanted />
				</div>
			)}
		</div>
	);
}
