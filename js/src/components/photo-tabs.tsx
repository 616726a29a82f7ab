import { useLayoutEffect } from "preact/hooks";
import { useView } from "../view-context";
import { Panel } from "./panel";
import { Photos } from "./photos";

/** The photos of the data set, and the one that the person brings. */
export function PhotoTabs() {
	const { state, tab, sort } = useView();
	const there = state.looking.photo.value !== null;

	// A photo that comes is shown, and the gallery is in its order, until it leaves.
	useLayoutEffect(() => {
		if (!there) return;
		const before = sort.peek();
		tab.value = true;
		sort.value = "photo";
		return () => {
			if (sort.peek() === "photo") sort.value = before;
		};
	}, [there]);

	if (state.saved) return <Photos />;
	return (
		<>
			<div class="nw-tabs">
				{["Of the data set", "Your photo"].map((text, i) => (
					<button
						key={text}
						type="button"
						aria-pressed={tab.value === i > 0}
						onClick={() => {
							tab.value = i > 0;
						}}
					>
						{text}
					</button>
				))}
			</div>
			{tab.value ? <Panel name="YourPhoto" what="This tab" wanted /> : <Photos />}
		</>
	);
}
