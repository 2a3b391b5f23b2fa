/** One WebSocket of a front end and the kernel behind it. */

import type { WebSocket } from 'ws';
import { ShardbookError } from '../../runtime/base/index.js';
import { decodeDefault, decodeV1, encodeDefault, encodeV1, V1_PROTOCOL } from './framing.js';
import type { WireMessage } from './kernel-port.js';
import type { KernelEntry } from './kernels.js';

/** When a reader is this far behind, it gets no more: memory must not grow for a page that sleeps. */
const MAX_BUFFERED_BYTES = 256 * 1024 * 1024;

export function connectChannels(socket: WebSocket, kernel: KernelEntry, log: (line: string) => void): void {
  const v1 = socket.protocol === V1_PROTOCOL;
  const send = (message: WireMessage) => {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      log('a front end reads too slowly: its connection is closed');
      socket.close(1013, 'too slow');
      return;
    }
    socket.send(v1 ? encodeV1(message) : encodeDefault(message));
  };
  kernel.listeners.add(send);
  kernel.wasConnected = true;
  socket.on('close', () => kernel.listeners.delete(send));
  socket.on('error', (error) => log(`WebSocket: ${error.message}`));
  socket.on('message', (data, isBinary) => {
    // `ws` gives a Buffer here: binaryType is left at its default.
    const bytes = data as Buffer;
    try {
      const message = v1 ? decodeV1(bytes) : decodeDefault(isBinary ? bytes : bytes.toString('utf8'));
      if (message.channel === 'iopub') return;
      kernel.lastActivity = new Date();
      kernel.handle.receive(message, send);
    } catch (error) {
      if (!(error instanceof ShardbookError)) throw error;
      log(error.message);
    }
  });
}
