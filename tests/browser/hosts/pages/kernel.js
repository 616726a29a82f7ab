/** A line to a kernel behind a Jupyter server, in Jupyter's own wire format. */

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** A message as it came: text, or a head of offsets with JSON and buffers behind it. */
export function unpack(data) {
	if (typeof data === "string") return { ...JSON.parse(data), buffers: [] };
	const head = new DataView(data);
	const count = head.getUint32(0);
	const offsets = Array.from({ length: count }, (_, i) => head.getUint32(4 * (i + 1)));
	const parts = offsets.map((from, i) => data.slice(from, offsets[i + 1] ?? data.byteLength));
	return { ...JSON.parse(decoder.decode(parts[0])), buffers: parts.slice(1) };
}

/** A message as it goes. */
export function pack(message, buffers = []) {
	if (buffers.length === 0) return JSON.stringify({ ...message, buffers: [] });
	const parts = [encoder.encode(JSON.stringify(message))];
	for (const b of buffers)
		parts.push(
			ArrayBuffer.isView(b)
				? new Uint8Array(b.buffer, b.byteOffset, b.byteLength)
				: new Uint8Array(b),
		);
	const head = 4 * (parts.length + 1);
	const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, head));
	const view = new DataView(whole.buffer);
	view.setUint32(0, parts.length);
	let at = head;
	parts.forEach((part, i) => {
		view.setUint32(4 * (i + 1), at);
		whole.set(part, at);
		at += part.length;
	});
	return whole.buffer;
}

export class Kernel {
	/** Called with every message of the kernel, unpacked, and as it came. */
	onmessage = () => {};
	#session = crypto.randomUUID();
	#socket;
	#pending = new Map();

	constructor(address) {
		this.#socket = new WebSocket(`${address}/channels?session_id=${this.#session}`);
		this.#socket.binaryType = "arraybuffer";
		this.#socket.onmessage = ({ data }) => {
			const message = unpack(data);
			this.onmessage(message, data);
			const asked = message.parent_header?.msg_id;
			const idle = message.msg_type === "status" && message.content.execution_state === "idle";
			const answered = message.channel === "shell";
			if (idle || answered) this.#pending.get(asked)?.(idle ? "idle" : "answered");
		};
		this.ready = new Promise((done) => {
			this.#socket.onopen = done;
		});
	}

	/**
	 * Send a message; it is done when the kernel is idle again, and has answered a request: the two
	 * come by different ways, in any order.
	 */
	send(msg_type, content, buffers = []) {
		const msg_id = crypto.randomUUID();
		const header = {
			msg_id,
			msg_type,
			session: this.#session,
			username: "",
			version: "5.3",
			date: new Date().toISOString(),
		};
		const message = { channel: "shell", header, parent_header: {}, metadata: {}, content };
		const missing = new Set(msg_type.endsWith("_request") ? ["idle", "answered"] : ["idle"]);
		const done = new Promise((complete) => {
			this.#pending.set(msg_id, (came) => {
				missing.delete(came);
				if (missing.size > 0) return;
				this.#pending.delete(msg_id);
				complete();
			});
		});
		this.#socket.send(pack(message, buffers));
		return done;
	}

	/** Run a cell. */
	run(code) {
		return this.send("execute_request", {
			code,
			silent: false,
			store_history: true,
			user_expressions: {},
			allow_stdin: false,
			stop_on_error: true,
		});
	}

	/** Pass on a message that is packed already. */
	forward(data) {
		void this.ready.then(() => this.#socket.send(data));
	}
}
