/** Numbers and times as text. */

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 9469 -> "9,469" */
export const count = (n: number): string => WHOLE.format(n);

/** An activation or score with three or four figures that matter: "3,198", "24.1", "0.0342". */
export function value(x: number): string {
	if (!Number.isFinite(x)) return "–";
	const size = Math.abs(x);
	let text: string;
	if (size >= 100) text = WHOLE.format(x);
	else if (size >= 10) text = x.toFixed(1);
	else if (size >= 0.995) text = x.toFixed(2);
	else if (size === 0) text = "0";
	else if (size >= 0.001) text = x.toPrecision(2);
	else text = x.toExponential(1).replace("e-", "e−");
	return text.replace(/^-/, "−");
}

/** A time left: "8 s", "1 min 20 s", "1 h 5 min". */
export function duration(seconds: number): string {
	const s = Math.max(0, Math.round(seconds));
	// No line ends before a unit.
	if (s < 60) return `${s}\u00a0s`;
	if (s < 3600) return `${Math.floor(s / 60)}\u00a0min${s % 60 ? ` ${s % 60}\u00a0s` : ""}`;
	return `${Math.floor(s / 3600)}\u00a0h ${Math.floor((s % 3600) / 60)}\u00a0min`;
}

/** A rate: "24", "3.2", "0.4". */
export const rate = (x: number): string => (x >= 10 ? count(x) : x.toFixed(1));

const several = (noun: string): string => noun + (noun.endsWith("s") ? "es" : "s");

/** "1 photo", "2 photos", "2 classes" */
export const plural = (n: number, noun: string): string =>
	`${count(n)} ${n === 1 ? noun : several(noun)}`;

/** "Class", "Classes" */
export const heading = (noun = "neuron", many = false): string =>
	noun.charAt(0).toUpperCase() + (many ? several(noun) : noun).slice(1);
