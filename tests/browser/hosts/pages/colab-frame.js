/** An output's frame: a widget manager over the two things that Colab gives it, state and channel. */

const page = parent;
const waiting = new Map();
const readers = new Map();

function ask(kind, rest) {
	const ask = crypto.randomUUID();
	page.postMessage({ kind, ask, ...rest }, "*");
	return new Promise((done) => waiting.set(ask, done));
}

addEventListener("message", ({ data, source }) => {
	if (source !== page) return;
	if (data.kind === "answer") waiting.get(data.to)?.(data.value);
	if (data.kind === "theme") document.documentElement.setAttribute("theme", data.name);
	if (data.kind === "message") for (const read of readers.get(data.id) ?? []) read(data);
});

/** A channel as Colab gives it: whoever reads its messages gets all of them. */
function channel(id) {
	return {
		send: (data, how) => ask("send", { id, data, buffers: how?.buffers ?? [] }),
		close() {},
		get messages() {
			return (async function* () {
				const came = [];
				let wake = () => {};
				const all = readers.get(id) ?? new Set();
				readers.set(
					id,
					all.add((message) => {
						came.push(message);
						wake();
					}),
				);
				for (;;) {
					while (came.length) yield came.shift();
					await new Promise((done) => {
						wake = done;
					});
				}
			})();
		},
	};
}

/** The channel as a comm of ipywidgets. Buffers come as byte arrays, as from Colab's manager. */
class Comm {
	constructor(id) {
		this.comm_id = id;
		this.target_name = "";
		this.channel = channel(id);
	}

	send(data, callbacks, _metadata, buffers) {
		const bytes = (buffers ?? []).map((b) =>
			ArrayBuffer.isView(b) ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : b,
		);
		const idle = { content: { execution_state: "idle" } };
		this.channel.send(data, { buffers: bytes }).then(() => callbacks?.iopub?.status?.(idle));
		return "";
	}

	close() {
		this.channel.close();
		return "";
	}

	async on_msg(hear) {
		for await (const { data, buffers } of this.channel.messages)
			hear({
				content: { comm_id: this.comm_id, data },
				buffers: buffers.map((b) => new Uint8Array(b)),
			});
	}

	async on_close(hear) {
		for await (const _ of this.channel.messages);
		hear();
	}
}

require.config({
	paths: {
		anywidget: "/anywidget/index",
		"libembed-amd": "/modules/@jupyter-widgets/html-manager/dist/libembed-amd",
	},
});
const load = (...names) => new Promise((done, failed) => require(names, (...m) => done(m), failed));
await load("libembed-amd");
const [{ HTMLManager }] = await load("@jupyter-widgets/html-manager");

class Manager extends HTMLManager {
	#models = new Map();

	constructor() {
		super({ loader: (name) => load(name).then(([module]) => module) });
	}

	get_model(id) {
		if (!this.#models.has(id)) this.#models.set(id, this.#make(id));
		return this.#models.get(id);
	}

	async #make(id) {
		const state = await ask("state", { id });
		return this.new_model(
			{
				model_name: state._model_name,
				model_module: state._model_module,
				model_module_version: state._model_module_version,
				model_id: id,
				comm: new Comm(id),
			},
			state,
		);
	}
}

const manager = new Manager();
const model = await manager.get_model(location.hash.slice(1));
await manager.display_view(
	await manager.create_view(model),
	document.getElementById("output-area"),
);
