import { useEffect, useRef, useState } from "preact/hooks";
import { fileName, saveUrl } from "../exports";
import { wordOf } from "../target";
import { useView } from "../view-context";
import { Distributions } from "./distributions";

/** What can be taken away, and what else is in the menu. */
export function Choices() {
	const { state } = useView();
	const target = state.selection.target.value;
	const picture = state.media.picture(target);
	const drawing = state.exports.figure.value;
	const gone = state.gone.value;
	return (
		<>
			<button
				type="button"
				class="nw-button"
				aria-disabled={!picture}
				onClick={() => {
					if (picture) saveUrl(picture.url, fileName(target, "image"));
				}}
			>
				Save image
			</button>
			<p class="nw-muted">
				{picture
					? "The synthetic image as PNG, without loss."
					: `When this ${wordOf(target)} is rendered: its image as PNG.`}
			</p>
			<button
				type="button"
				class="nw-button"
				aria-disabled={!picture || drawing || gone}
				onClick={() => {
					if (picture && !drawing && !gone) state.exports.askFigure(target);
				}}
			>
				{drawing ? "Drawing the figure" : "Save figure"}
			</button>
			<p class="nw-muted">
				{gone
					? "The figure is drawn by the kernel, which does not answer."
					: picture
						? "Image, photos and maps with their values, as PNG for a paper or a handout."
						: `When this ${wordOf(target)} is rendered: image, photos and maps on one page.`}
			</p>
			<PythonLine />
			<Distributions />
		</>
	);
}

function PythonLine() {
	const { state, name } = useView();
	const { exports } = state;
	const text = useRef<HTMLTextAreaElement>(null);
	const [said, say] = useState("");
	const line = exports.line.value;
	const [key, steps, settings] = [
		state.selection.key.value,
		state.selection.steps.value,
		state.renderSettings.now.value,
	];
	// Asked again when the view changes.
	useEffect(() => {
		exports.askLine();
		say("");
	}, [exports, key, steps, settings]);

	const copy = async (): Promise<void> => {
		try {
			await navigator.clipboard.writeText(line?.line ?? "");
			say("Copied");
		} catch {
			// A page in a frame, or on plain http, may not write to the clipboard.
			text.current?.focus();
			text.current?.select();
			say("Press Ctrl+C (⌘C on a Mac) to copy it");
		}
	};
	return (
		<div class="nw-line">
			<label class="nw-label" for={`${name}-line`}>
				This view as a line of Python
			</label>
			<textarea
				ref={text}
				id={`${name}-line`}
				class="nw-input nw-code"
				readOnly
				rows={4}
				spellcheck={false}
				value={line?.line ?? ""}
				placeholder={state.gone.value ? "The kernel does not answer" : "Asking the kernel"}
				onFocus={(e) => e.currentTarget.select()}
			/>
			{line?.note && <p class="nw-muted">{line.note}</p>}
			<div class="nw-row">
				<button
					type="button"
					class="nw-button"
					aria-disabled={!line}
					onClick={() => {
						if (line) void copy();
					}}
				>
					Copy
				</button>
				<span class="nw-muted" role="status">
					{said}
				</span>
			</div>
		</div>
	);
}
