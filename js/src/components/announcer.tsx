import { useEffect, useState } from "preact/hooks";
import { useView } from "../view";

const GAP_MS = 2_000;

/** One polite live region; it says the newest news, at most every two seconds. */
export function Announcer() {
	const { store } = useView();
	const [said, say] = useState("");
	useEffect(() => {
		let last = Number.NEGATIVE_INFINITY;
		let timer: ReturnType<typeof setTimeout> | undefined;
		const stop = store.news.subscribe((text) => {
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
	}, [store]);
	return (
		<div class="nw-unseen" aria-live="polite" role="status">
			{said}
		</div>
	);
}
