/** The binary half of messages. */

/**
 * One buffer as a view of its own bytes. JupyterLab hands over DataViews, Colab Uint8Arrays, others
 * ArrayBuffers; a view may lie anywhere in a larger message, so its offset and length matter.
 */
export function viewOf(buffer: BufferSource): DataView<ArrayBuffer> {
	// Not `instanceof`: a buffer may come from another frame, with classes of its own.
	return ArrayBuffer.isView(buffer)
		? new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
		: new DataView(buffer);
}

/** The bytes of one buffer, copied out of the message. */
export function bytesOf(data: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
	return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}
