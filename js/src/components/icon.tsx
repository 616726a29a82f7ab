const PATHS = {
	previous: "M10 3 5 8l5 5",
	next: "m6 3 5 5-5 5",
	random:
		"M1.5 4.5h2.2c3.4 0 4.6 7 8 7h2.6m0 0-2-2m2 2-2 2M1.5 11.5h2.2c1.2 0 2.1-.9 2.9-2m2.2-3c.8-1.1 1.7-2 2.9-2h2.6m0 0-2-2m2 2-2 2",
	save: "M8 2v8m0 0L4.8 6.8M8 10l3.2-3.2M2.5 10.5v3h11v-3",
	close: "m3.5 3.5 9 9m0-9-9 9",
} as const;

/** A button that shows a drawing instead of its name. */
export function IconButton(props: {
	name: string;
	icon: keyof typeof PATHS;
	off?: boolean;
	onClick: () => void;
}) {
	const { name, icon, off, onClick } = props;
	return (
		<button
			type="button"
			class="nw-button nw-icon"
			aria-label={name}
			aria-disabled={off}
			title={name}
			onClick={onClick}
		>
			<Icon name={icon} />
		</button>
	);
}

/** A drawing of one line, in the colour of the text around it. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
	return (
		<svg viewBox="0 0 16 16" aria-hidden="true">
			<path d={PATHS[name]} />
		</svg>
	);
}
