import { useComputed } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import { count, heading } from "../format";
import { galleryOrder, moveInGrid, parseFilter, placesInView, type Sort } from "../order";
import { channelKey, channelTarget, nameOf } from "../target";
import { useView } from "../view-context";
import { ProgressRow } from "./progress-row";

const TILE = 56;
const GAP = 4;
const PAD = 4;
const SCROLL_GAP_MS = 150;

/**
 * All neurons of the layer as a list box of small tiles. Every tile is in the page, so that it can
 * be found and read aloud; strict containment spares the browser from looking into them.
 */
export function Gallery() {
	const { state, commands, sort, filter, name, hovered } = useView();
	const box = useRef<HTMLDivElement>(null);
	const holds = useRef(true);
	const layer = state.selection.layer.value;
	const info = state.layerInfo.value;
	const channels = info?.channels ?? 0;
	const strength = state.strength.value;
	const seen = state.looking.photo.value;
	const photo = seen?.layer === layer ? seen.order : undefined;
	const predicted = state.predicted.value.get(layer);
	const order = useMemo(() => {
		const all = galleryOrder(channels, sort.value, strength, photo, predicted);
		const lets = parseFilter(filter.value, strength, info?.names);
		return lets ? all.filter(lets) : all;
	}, [channels, sort.value, filter.value, strength, predicted, photo, info]);
	// Where the filter hides the selected neuron, the list is entered at its first one.
	const hidden = !order.includes(state.selection.neuron.value);
	const entry = hidden ? order[0] : undefined;

	// Once the order is asked for, and again for another layer; not after a stop.
	const wanted = sort.value === "predicted" && !!strength && !predicted;
	useEffect(() => {
		if (wanted && !state.tasks.measure.busy.peek()) commands.measure();
	}, [wanted, layer, state, commands]);

	// The same elements again: a drawing of the gallery leaves a thousand tiles alone.
	const tiles = useMemo(
		() =>
			order.map((neuron) => (
				<Tile key={neuron} layer={layer} neuron={neuron} entry={neuron === entry} />
			)),
		[order, layer, entry],
	);

	/** Columns, rows in sight, and height of a row, as the style sheet lays them out. */
	const grid = useCallback((): [number, number, number] => {
		const width = (box.current?.clientWidth ?? TILE) - 2 * PAD;
		const height = box.current?.clientHeight ?? TILE;
		const columns = Math.max(1, Math.floor((width + GAP) / (TILE + GAP)));
		const pitch = Math.max(TILE, (width + GAP) / columns - GAP) + GAP;
		return [columns, Math.max(1, Math.floor(height / pitch)), pitch];
	}, []);

	/** Scroll the gallery, never the notebook, until a neuron's row is in sight. */
	const reveal = useCallback(
		(neuron: number): void => {
			const scroller = box.current;
			if (!scroller) return;
			const [columns, , pitch] = grid();
			const place = order.indexOf(neuron);
			if (place < 0) return;
			const top = Math.floor(place / columns) * pitch;
			const bottom = top + pitch + 2 * PAD - GAP;
			if (top < scroller.scrollTop) scroller.scrollTop = top;
			else if (bottom > scroller.scrollTop + scroller.clientHeight)
				scroller.scrollTop = bottom - scroller.clientHeight;
		},
		[order, grid],
	);

	// Tell the kernel what is in sight.
	useEffect(() => {
		const scroller = box.current;
		if (!scroller || channels === 0) return;
		const tell = (): void => {
			const { scrollTop, clientHeight } = scroller;
			const [columns, , pitch] = grid();
			const [first, end] = placesInView(scrollTop, clientHeight, pitch, columns, order.length);
			const seen = order.slice(first, end);
			holds.current = seen.includes(state.selection.neuron.peek());
			commands.inView(seen);
		};
		const size = (): void => scroller.style.setProperty("--nw-tile", `${grid()[2] - GAP}px`);
		size();
		tell();
		// Looking at sizes while scrolling costs frames: a few times a second is enough.
		let timer: ReturnType<typeof setTimeout> | undefined;
		const scrolled = (): void => {
			timer ??= setTimeout(() => {
				timer = undefined;
				tell();
			}, SCROLL_GAP_MS);
		};
		scroller.addEventListener("scroll", scrolled, { passive: true });
		const resized = new ResizeObserver(() => {
			// Where the selected tile was in sight, it stays so when the page around grows or shrinks.
			const held = holds.current;
			size();
			tell();
			if (held) reveal(state.selection.neuron.peek());
		});
		resized.observe(scroller);
		return () => {
			clearTimeout(timer);
			scroller.removeEventListener("scroll", scrolled);
			resized.disconnect();
		};
	}, [order, channels, state, commands, grid, reveal]);

	// Keep the selected tile in sight.
	useEffect(
		() =>
			state.selection.neuron.subscribe((neuron) => {
				reveal(neuron);
				holds.current = true;
			}),
		[state, reveal],
	);

	// A photo that comes brings its own order: what it fires most is in sight.
	useEffect(() => {
		if (sort.value !== "photo" || !box.current) return;
		box.current.scrollTop = 0;
		holds.current = false;
	}, [photo, sort.value]);

	const tileOf = (neuron: number): HTMLElement | null =>
		box.current?.querySelector(`[data-neuron="${neuron}"]`) ?? null;

	const onKeyDown = (e: KeyboardEvent): void => {
		if (e.ctrlKey || e.altKey || e.metaKey) return;
		const at = order.indexOf(state.selection.neuron.value);
		const [columns, rows] = grid();
		const enters = at < 0 && (e.key === "Enter" || e.key === " ");
		const to = enters ? 0 : moveInGrid(e.key, Math.max(at, 0), order.length, columns, rows);
		if (to < 0) return;
		e.preventDefault();
		e.stopPropagation();
		const neuron = order[to] as number;
		commands.select({ neuron }, true);
		tileOf(neuron)?.focus({ preventScroll: true });
	};

	const onClick = (e: MouseEvent): void => {
		const tile = (e.target as HTMLElement).closest<HTMLElement>("[data-neuron]");
		if (tile) commands.select({ neuron: Number(tile.dataset.neuron) }, true);
	};

	return (
		<section class="nw-gallery" aria-label="Gallery">
			<div class="nw-gallery-head">
				<h3 class="nw-heading">{heading(info?.word, true)}</h3>
				<span class="nw-spring" />
				<label class="nw-label" for={`${name}-sort`}>
					Sort
				</label>
				<select
					id={`${name}-sort`}
					class="nw-input"
					value={sort.value}
					onChange={(e) => {
						sort.value = e.currentTarget.value as Sort;
					}}
				>
					<option value="index">by number</option>
					<option value="strength" disabled={!strength}>
						by strength
					</option>
					<option value="alive" disabled={!strength}>
						dead last
					</option>
					<option value="predicted" disabled={state.saved ? !predicted : !strength}>
						predictable
					</option>
					{photo && <option value="photo">by this photo</option>}
				</select>
			</div>
			<Filter shown={order.length} channels={channels} />
			{order.length === 0 && channels > 0 && <NoMatch />}
			{/* biome-ignore lint/a11y/useKeyWithMouseEvents: by keys a neuron is selected, which shows its map */}
			<div
				ref={box}
				class="nw-tiles"
				role="listbox"
				aria-label="Neurons"
				aria-orientation="horizontal"
				onKeyDown={onKeyDown}
				onClick={onClick}
				onMouseOver={(e) => {
					hovered.value = Number((e.target as HTMLElement).dataset.neuron ?? -1);
				}}
				onMouseLeave={() => {
					hovered.value = -1;
				}}
			>
				{tiles}
			</div>
			<Previews />
			<Measuring asked={sort.value === "predicted"} />
		</section>
	);
}

function Filter({ shown, channels }: { shown: number; channels: number }) {
	const { filter, name } = useView();
	return (
		<div class="nw-row nw-filter">
			<label class="nw-label" for={`${name}-filter`}>
				Filter
			</label>
			<input
				id={`${name}-filter`}
				class="nw-input"
				type="search"
				value={filter.value}
				placeholder="68, 10-20, or a class"
				autocomplete="off"
				spellcheck={false}
				onInput={(e) => {
					filter.value = e.currentTarget.value;
				}}
			/>
			<span class="nw-muted nw-filter-count" role="status">
				{filter.value.trim() && `${count(shown)} of ${count(channels)}`}
			</span>
		</div>
	);
}

/** Why the gallery is empty. */
function NoMatch() {
	const { state, filter } = useView();
	const words = filter.value.trim();
	const numbers = /^[\d\s,.–-]+$/.test(words);
	let why = "";
	const last = (state.layerInfo.value?.channels ?? 1) - 1;
	if (numbers) why = `Its neurons are numbered 0 to ${last}.`;
	else if (!state.strength.value) why = "Classes are known when the photos are scanned.";
	else if (state.strength.value.labels.length === 0) why = "These photos have no classes.";
	return (
		<div class="nw-no-match">
			<p>
				No neuron of {state.selection.layer.value} is “{words}”
				{!numbers && ", or fires most for such photos"}. {why}
			</p>
			<button
				type="button"
				class="nw-button"
				onClick={() => {
					filter.value = "";
				}}
			>
				Show all
			</button>
		</div>
	);
}

/** How far the measuring is; or what it says of the whole layer, where the gallery is sorted by it. */
function Measuring({ asked }: { asked: boolean }) {
	const { state } = useView();
	const p = state.measureRow.value;
	if (p) return <ProgressRow task="measure" p={p} />;
	const predicted = state.predicted.value.get(state.selection.layer.value);
	return asked && predicted ? <p class="nw-caption">{predicted.summary}</p> : null;
}

function Previews() {
	const { state } = useView();
	const p = state.previewRow.value;
	if (p) return <ProgressRow task="preview" p={p} />;
	if (!state.previewsOff.value || state.saved) return null;
	return <p class="nw-caption">Previews are off: tiles fill as you render.</p>;
}

function Tile({ layer, neuron, entry }: { layer: string; neuron: number; entry: boolean }) {
	const { state } = useView();
	const target = channelTarget(layer, neuron);
	const info = state.layerInfo.value;
	const name = info?.names?.[neuron];
	const selected = useComputed(() => state.selection.neuron.value === neuron).value;
	const dead = useComputed(() => state.isDead(neuron)).value;
	const rendering = useComputed(() => state.underWay.value === channelKey(target)).value;
	const thumb = state.media.thumb(layer, neuron).value;
	const states = [
		rendering && "rendering",
		dead && "dead",
		thumb ? (thumb.finished ? "finished" : "preview") : "no preview yet",
	].filter(Boolean);
	return (
		<div
			class={[
				"nw-tile",
				rendering && "nw-tile-rendering",
				dead ? "nw-tile-dead" : !thumb && "nw-tile-blank",
			]
				.filter(Boolean)
				.join(" ")}
			role="option"
			tabIndex={selected || entry ? 0 : -1}
			aria-selected={selected}
			aria-label={`${nameOf(target, info)}, ${states.join(", ")}`}
			title={name ? `${name} (${neuron})` : `${neuron}`}
			data-neuron={neuron}
			data-says={name}
		>
			{thumb && !dead && <img src={thumb.url} alt="" decoding="async" />}
		</div>
	);
}
