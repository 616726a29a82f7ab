import { useEffect, useRef } from "preact/hooks";
import { type MapMode, mapPixels } from "../viridis";

/** An activation map painted from its bytes, stretched smoothly over its parent. */
export function MapCanvas(props: {
	map: Uint8Array<ArrayBuffer>;
	width: number;
	height: number;
	mode: MapMode;
	opacity: number;
}) {
	const canvas = useRef<HTMLCanvasElement>(null);
	const { map, width, height, mode, opacity } = props;
	useEffect(() => {
		const context = canvas.current?.getContext("2d");
		if (!context || mode === "off" || map.length < width * height) return;
		const pixels = context.createImageData(width, height);
		pixels.data.set(mapPixels(map.subarray(0, width * height), mode, opacity));
		context.putImageData(pixels, 0, 0);
	}, [map, width, height, mode, opacity]);
	if (mode === "off") return null;
	// biome-ignore lint/a11y/noAriaHiddenOnFocusable: a canvas without tabindex takes no focus
	return <canvas ref={canvas} class="nw-map" width={width} height={height} aria-hidden="true" />;
}
