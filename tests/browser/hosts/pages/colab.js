/**
 * A page that keeps Colab's contract: each output is a frame of another origin, which asks this page
 * for a model's state and gets a channel to it; what the kernel sends from a background thread is
 * not passed on. In the address: the kernel, and the origin of the frames.
 */
import { Kernel } from "./kernel.js";

const asked = new URLSearchParams(location.search);
const kernel = new Kernel(asked.get("kernel"));
const frames = new Set();
const states = new Map();

/** Put the buffers of a message where its paths say. */
function merge(state, { state: news, buffer_paths = [] }, buffers) {
	buffer_paths.forEach((path, i) => {
		const last = path.at(-1);
		path.slice(0, -1).reduce((at, key) => at[key], news)[last] = buffers[i];
	});
	Object.assign(state, news);
}

kernel.onmessage = (message) => {
	const { comm_id, data } = message.content;
	// The cell that opens the kernel marks what its background threads send.
	if (message.metadata?.background) return;
	if (message.msg_type === "comm_open") states.set(comm_id, {});
	if (message.msg_type === "comm_open" || data?.method === "update")
		merge(states.get(comm_id) ?? {}, data, message.buffers);
	if (message.msg_type === "comm_msg")
		for (const frame of frames)
			frame.postMessage({ kind: "message", id: comm_id, data, buffers: message.buffers }, "*");
	if (message.msg_type === "comm_close") states.delete(comm_id);
	const view = message.content.data?.["application/vnd.jupyter.widget-view+json"];
	if (message.msg_type.match(/^(execute_result|display_data)$/) && view) show(view.model_id);
};

/** An output with a widget in it. What is shown is known after the page was loaded again. */
function show(id) {
	const frame = document.createElement("iframe");
	const { pathname } = new URL("colab-frame.html", location);
	frame.src = `${asked.get("frames")}${pathname}#${id}`;
	document.body.append(frame);
	frames.add(frame.contentWindow);
	const shown = JSON.parse(sessionStorage.shown ?? "[]");
	sessionStorage.shown = JSON.stringify([...shown, id]);
}

addEventListener("message", async ({ data, source }) => {
	if (!frames.has(source)) return;
	const answer = (value) => source.postMessage({ kind: "answer", to: data.ask, value }, "*");
	if (data.kind === "state") answer(states.get(data.id));
	if (data.kind === "send") {
		await kernel.send("comm_msg", { comm_id: data.id, data: data.data }, data.buffers);
		answer(null);
	}
});

window.run = async (code) => {
	await kernel.ready;
	const cell = document.createElement("pre");
	cell.textContent = code;
	document.body.append(cell);
	return kernel.run(code);
};

window.theme = (name) => {
	document.documentElement.setAttribute("theme", name);
	for (const frame of frames) frame.postMessage({ kind: "theme", name }, "*");
};

/** After the page was loaded again: the kernel says what there is. */
async function restore() {
	const shown = JSON.parse(sessionStorage.shown ?? "[]");
	sessionStorage.removeItem("shown");
	await kernel.ready;
	const ids = new Set();
	const hear = kernel.onmessage;
	kernel.onmessage = (message, data) => {
		for (const id of Object.keys(message.content.comms ?? {})) ids.add(id);
		hear(message, data);
	};
	await kernel.send("comm_info_request", { target_name: "jupyter.widget" });
	for (const id of ids) {
		states.set(id, {});
		await kernel.send("comm_msg", { comm_id: id, data: { method: "request_state" } });
	}
	for (const id of shown) show(id);
}

window.restored = sessionStorage.shown ? restore() : Promise.resolve();
