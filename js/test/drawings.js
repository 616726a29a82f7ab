// Pictures for the fake kernel, drawn on canvases.

/** A small repeatable random source. */
export function source(seed) {
	let state = (seed * 2654435761 + 1) >>> 0;
	return () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return state / 2 ** 32;
	};
}

/** A canvas as an image file. Not with toBlob, which waits until the page is idle. */
export function bytes(canvas, type) {
	const text = atob(canvas.toDataURL(type, 0.85).split(",")[1]);
	return new DataView(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer);
}

export function sheet(size) {
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = size;
	return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

/** What a neuron "wants to see": waves whose kind depends on its number. `clarity` is 0..1. */
export function pattern(neuron, size, clarity) {
	const [canvas, context] = sheet(size);
	const random = source(neuron + 11);
	const waves = Array.from({ length: 5 }, () => ({
		angle: random() * Math.PI,
		period: 12 + random() * 40,
		phase: random() * 6.3,
		color: [random(), random(), random()],
	}));
	const noise = source(neuron * 7 + Math.round(clarity * 1000));
	const pixels = context.createImageData(size, size);
	for (let y = 0; y < size; y++) {
		for (let x = 0; x < size; x++) {
			const u = (x / size) * 224;
			const v = (y / size) * 224;
			const at = (y * size + x) * 4;
			for (let c = 0; c < 3; c++) {
				let sum = 0;
				for (const w of waves) {
					const bend = 14 * Math.sin(v / 31 + w.phase);
					const d = (u + bend) * Math.cos(w.angle) + v * Math.sin(w.angle);
					sum += (w.color[c] - 0.35) * Math.sin((d / w.period) * 6.3 + w.phase);
				}
				pixels.data[at + c] = 128 + 70 * clarity * sum + (1 - clarity) * 60 * (noise() - 0.5);
			}
			pixels.data[at + 3] = 255;
		}
	}
	context.putImageData(pixels, 0, 0);
	return canvas;
}

/** Something like a photo: sky, ground and a few things. */
export function scene(seed, size) {
	const [canvas, context] = sheet(size);
	const random = source(seed + 101);
	const sky = context.createLinearGradient(0, 0, 0, size);
	const hue = random() * 360;
	sky.addColorStop(0, `hsl(${hue} 45% 75%)`);
	sky.addColorStop(0.6, `hsl(${hue + 30} 30% 85%)`);
	sky.addColorStop(0.62, `hsl(${hue + 150} 25% 40%)`);
	sky.addColorStop(1, `hsl(${hue + 150} 30% 25%)`);
	context.fillStyle = sky;
	context.fillRect(0, 0, size, size);
	for (let i = 0; i < 7; i++) {
		context.fillStyle = `hsl(${random() * 360} ${30 + random() * 50}% ${25 + random() * 50}%)`;
		context.beginPath();
		const r = size * (0.05 + random() * 0.16);
		context.ellipse(
			random() * size,
			size * (0.3 + random() * 0.6),
			r,
			r * (0.5 + random()),
			random() * 3,
			0,
			7,
		);
		context.fill();
	}
	return canvas;
}

/** A map with one or two bumps; `strength` 0..1 of the neuron's largest value. */
export function bumps(seed, w, h, strength) {
	const random = source(seed + 31);
	const spots = [0, 1].map((i) => ({
		x: random() * w,
		y: random() * h,
		s: (0.1 + 0.12 * random()) * w,
		a: i ? 0.6 : 1,
	}));
	const map = new Uint8Array(w * h);
	let peak = 0;
	let position = [0, 0];
	for (let y = 0; y < h; y++) {
		for (let x = 0; x < w; x++) {
			let sum = 0;
			for (const { x: cx, y: cy, s, a } of spots)
				sum += a * Math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * s * s));
			const value = Math.round(255 * Math.min(1, strength * sum));
			map[y * w + x] = value;
			if (value > peak) {
				peak = value;
				position = [y, x];
			}
		}
	}
	return { map, peak, position };
}
