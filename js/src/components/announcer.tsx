import { useEffect, useState } from "preact/hooks";
import { useView } from "../view-context";

const GAP_MS = 2_000;

/** One polite live region; it says the newest news, at most every two seconds. */
export function Announcer() {
	const { state } = useView();
	const [said, say] = useState("");
	useEffect(() => {
		let last = Number.NEGATIVE_INFINITY;
		let timer: ReturnType<typeof setTimeout> | undefined;
		const stop = state.tasks.news.subscribe((text) => {
			clearTimeout(timer);
			timer = setTimeout(
				() => {
					last = performance.now();
					say(text);
				},
				Math.max(0, last + GAP_MS - performance.now()),
			);
		});
		return () => {
			clearTimeout(timer);
			stop();
		};
	}, [state]);
	return (
		<div class="nw-unseen" aria-live="polite" role="status">
			{said}
		</div>
	);
}
