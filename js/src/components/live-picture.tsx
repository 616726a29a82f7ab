import { effect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useView } from "../view-context";

/** The moving picture. Its frames are drawn past the rest of the page, which has nothing to do. */
export function LivePicture({ name }: { name: string }) {
	const { state } = useView();
	const canvas = useRef<HTMLCanvasElement>(null);
	useLayoutEffect(
		() =>
			effect(() => {
				const live = state.liveFrame();
				const to = canvas.current;
				if (!live || !to) return;
				const { width, height } = live.picture;
				if (to.width !== width || to.height !== height) Object.assign(to, { width, height });
				to.getContext("2d", { alpha: false })?.drawImage(live.picture, 0, 0);
			}),
		[state],
	);
	return <canvas ref={canvas} class="nw-image nw-live" role="img" aria-label={name} />;
}
