import { useEffect, useRef } from "preact/hooks";
import { type MapMode, mapPixels } from "../viridis";

/** An activation map painted from its bytes, stretched smoothly over its parent. */
export function MapCanvas(props: {
	map: Uint8Array<ArrayBuffer>;
	width: number;
	height: number;
	mode: MapMode;
	opacity: number;
	/** Whether values below 0 are shown as well, see mapPixels. */
	signed?: boolean | undefined;
}) {
	const canvas = useRef<HTMLCanvasElement>(null);
	const { map, width, height, mode, opacity, signed } = props;
	useEffect(() => {
		const context = canvas.current?.getContext("2d");
		if (!context || mode === "off" || map.length < width * height) return;
		const pixels = context.createImageData(width, height);
		pixels.data.set(mapPixels(map.subarray(0, width * height), mode, opacity, signed));
		context.putImageData(pixels, 0, 0);
	}, [map, width, height, mode, opacity, signed]);
	// Of one position there is nothing to show where: a class speaks of all of the photo.
	if (mode === "off" || width * height < 2) return null;
	// biome-ignore lint/a11y/noAriaHiddenOnFocusable: a canvas without tabindex takes no focus
	return <canvas ref={canvas} class="nw-map" width={width} height={height} aria-hidden="true" />;
}
