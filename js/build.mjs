// Bundles into neuron_widget/static/ the page of the widget and that of the quiz, each one ES module
// and one style sheet, nothing loaded from elsewhere; what of the widget comes on demand (panels.js);
// and what a saved page needs beside the widget (page.js, page.css), or a saved notebook (saved.js).
// The same sources and lock file give the same bytes (CI compares them).
import { createHash } from "node:crypto";
import { stat, writeFile } from "node:fs/promises";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Names that our own code alone reads: no message, no host, no element and no library has them. They
// become short ones in the bundle.
const OURS = [
	"selection",
	"media",
	"tasks",
	"picture",
	"moreTo",
	"forming",
	"soFar",
	"renderSettings",
	"layerInfo",
	"layerOf",
	"connection",
	"contact",
	"looking",
	"strength",
	"commands",
	"settingsOpen",
	"datasetOpen",
	"menuOpen",
	"previewsOff",
	"underWay",
	"inView",
	"liveFrame",
	"largeShot",
	"mapMode",
	"isDead",
	"drawnCurve",
	"renderRow",
	"scanRow",
	"previewRow",
	"measureRow",
	"peekPicture",
	"partly",
	"onSet",
	"news",
	"hovered",
	"clearPhotos",
	"clearPictures",
	"viewVisible",
	"viewReady",
	"openEmbedded",
	"bringShown",
	"askFigure",
	"applyFile",
	"applyLine",
	"applyTraits",
	"addPicture",
	"addPhotos",
	"addThumbs",
	"addLarge",
	"settlePhotos",
	"setNetwork",
	"setDataset",
];

const scripts = {
	absWorkingDir: here("."),
	outdir: here("../neuron_widget/static"),
	bundle: true,
	minify: true,
	format: "esm",
	target: "es2022",
	charset: "utf8",
	legalComments: "none",
	mangleProps: new RegExp(`^(${OURS.join("|")})$`),
	logLevel: "warning",
};

const page = {
	...scripts,
	// Classic JSX makes the smaller bundle, but a tsconfig.json, where there is one, would decide.
	tsconfigRaw: {},
	jsx: "transform",
	jsxFactory: "jsxElement",
	jsxFragment: "JsxFragment",
	inject: ["src/jsx.ts"],
};

await build({ ...page, entryPoints: { quiz: "src/quiz/index.tsx" } });
await build({ ...scripts, entryPoints: { page: "src/page/index.ts", saved: "src/page/saved.ts" } });
await buildWidget();

await build({
	absWorkingDir: here("."),
	entryPoints: {
		widget: "src/style/index.css",
		quiz: "src/quiz/quiz.css",
		page: "src/page/page.css",
	},
	outdir: here("../neuron_widget/static"),
	bundle: true,
	minify: true,
	target: "es2022",
	charset: "utf8",
	logLevel: "warning",
});

const made = ["widget", "quiz", "page"].flatMap((n) => [`${n}.js`, `${n}.css`]);
for (const name of [...made, "panels.js", "saved.js"]) {
	const { size } = await stat(here(`../neuron_widget/static/${name}`));
	console.log(`${name} ${(size / 1000).toFixed(1)} kB`);
}

/**
 * widget.js, and panels.js with what is seldom opened. What both need is in widget.js alone, which
 * hands it over as a list: panels.js is a function of that list.
 */
async function buildWidget() {
	const widget = { ...page, entryPoints: { widget: "src/index.ts" } };
	const panels = { ...page, entryPoints: { panels: "src/panels.ts" }, write: false };

	// What widget.js has; and what panels.js would import of that.
	const first = await build({
		...widget,
		define: { PANELS_KEY: '""' },
		write: false,
		metafile: true,
		mangleCache: {},
	});
	const has = new Set(Object.keys(first.metafile.inputs));
	const { mangleCache } = first;
	const draft = await build({
		...panels,
		minify: false,
		mangleCache,
		plugins: [redirect(has, (path) => ({ path: `shared:${path}`, external: true }))],
	});
	const wanted = importsOf(draft.outputFiles[0].text);
	const list = [...wanted].flatMap(([path, names]) => names.map((name) => ({ path, name })));

	const made = await build({
		...panels,
		mangleCache,
		format: "iife",
		globalName: "made",
		plugins: [
			redirect(has, (path) => ({ path, namespace: "shared" })),
			{
				name: "shared",
				setup({ onLoad }) {
					onLoad({ filter: /./, namespace: "shared" }, ({ path }) => ({
						contents: list
							.map(({ path: from, name }, i) =>
								from === path ? `export const ${name} = shared[${i}];` : "",
							)
							.join(""),
					}));
				},
			},
		],
	});
	const body = made.outputFiles[0].text.trim();
	const key = createHash("sha256").update(body).update(JSON.stringify(list)).digest("hex");
	const named = JSON.stringify(key.slice(0, 12));
	await writeFile(
		here("../neuron_widget/static/panels.js"),
		`(globalThis.neuronWidgetPanels??={})[${named}]=shared=>{${body}return made.panels};\n`,
	);
	const handed = list.map(({ path, name }, i) => `import { ${name} as x${i} } from "./${path}";`);
	await build({
		...widget,
		define: { PANELS_KEY: named },
		mangleCache: made.mangleCache,
		plugins: [
			{
				name: "hand over",
				setup({ onLoad }) {
					onLoad({ filter: /[\\/]src[\\/]shared\.ts$/ }, () => ({
						contents: `${handed.join("")}export const shared = () => [${list.map((_, i) => `x${i}`)}];`,
						resolveDir: here("."),
					}));
				},
			},
		],
	});
}

/** Resolve imports of files in `has` otherwise: `to` is given their path. */
function redirect(has, to) {
	return {
		name: "redirect",
		setup({ onResolve, resolve }) {
			onResolve({ filter: /./ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
				if (pluginData === "found" || kind === "entry-point") return undefined;
				const found = await resolve(path, { importer, resolveDir, kind, pluginData: "found" });
				const name = relative(here("."), found.path).replaceAll("\\", "/");
				return has.has(name) ? to(name) : found;
			});
		},
	};
}

/** The names that a module imports of others, by their paths, in order. */
function importsOf(code) {
	const wanted = new Map();
	for (const [line, names, path] of code.matchAll(/^import\b([^"]*)"shared:([^"]+)";$/gm)) {
		const inside = /^\s*\{([^}]*)\}\s*from\s*$/.exec(names);
		if (!inside && names.trim()) throw new Error(`panels.js needs names, not ${line}`);
		const some = inside?.[1].split(",").map((name) => name.trim().split(/\s+/)[0]) ?? [];
		wanted.set(path, [...new Set([...(wanted.get(path) ?? []), ...some.filter(Boolean)])].sort());
	}
	return new Map([...wanted].sort(([a], [b]) => (a < b ? -1 : 1)));
}
