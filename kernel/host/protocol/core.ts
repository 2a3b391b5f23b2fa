/**
 * The kernel's side of the Jupyter protocol, whatever carries the messages: ZeroMQ and the embedded server's WebSocket
 * both feed `handle` and send what comes out.
 */
import { DebugAdapter } from '../debugger/index.js';
import type { CellOutput, CommMessage, ExecuteResult, SessionApi } from '../session/index.js';
import { answerHistory } from './history.js';
import {
  type Channel,
  isObject,
  type Message,
  MessageFactory,
  type MessageSink,
  messageProblem,
  PROTOCOL_VERSION,
  plainMessage,
} from './message.js';

export interface KernelCoreOptions {
  /** Called after shutdown_request was answered; `restart` says that a front end will start the kernel again. */
  onShutdown?: (restart: boolean) => void | Promise<void>;
  /** Where refused messages and failures of the kernel itself are said. */
  log?: (text: string) => void;
  /** Version shown as the kernel's own. */
  version?: string;
}

type Content = Record<string, unknown>;

interface Request {
  message: Message;
  channel: Channel;
  origin: unknown;
}

/** Handlers return the content of the reply; undefined for messages that have none. */
type Handler = (request: Request) => Promise<Content | undefined>;

export class KernelCore {
  readonly #session: SessionApi;
  readonly #sink: MessageSink;
  readonly #options: KernelCoreOptions;
  readonly #messages = new MessageFactory();
  readonly #inputs = new Map<string, (value: string) => void>();
  readonly #debugger: DebugAdapter | undefined;
  #shell: Promise<void> = Promise.resolve();
  /** Execute requests that came before this moment are not run: the cell before them failed. */
  #abortBefore = 0;
  #arrivals = 0;
  #closed = false;

  constructor(session: SessionApi, sink: MessageSink, options: KernelCoreOptions = {}) {
    this.#session = session;
    this.#sink = sink;
    this.#options = options;
    const { debugging } = session;
    if (debugging !== undefined && DebugAdapter.isAvailable())
      this.#debugger = new DebugAdapter(debugging, (event) => this.#publish('debug_event', event, undefined));
    session.onComm((message) => this.#publishComm(message, undefined));
  }

  /** Publishes `status: starting`; call once the carrier is ready. */
  start(): void {
    this.#publish('status', { execution_state: 'starting' }, undefined);
  }

  /** Handles one message from a front end; never rejects. Shell messages are answered in order, control at once. */
  handle(channel: Channel, given: Message, origin?: unknown): Promise<void> {
    const problem = messageProblem(given);
    if (problem !== undefined) {
      this.#log(`Cannot take a message on "${channel}": ${problem}`);
      return Promise.resolve();
    }
    const message = plainMessage(given);
    if (channel === 'stdin') {
      this.#takeInput(message);
      return Promise.resolve();
    }
    const request: Request = { message, channel, origin };
    if (channel === 'control') return this.#answer(request);
    const arrival = ++this.#arrivals;
    this.#shell = this.#shell.then(() => this.#answer(request, arrival));
    return this.#shell;
  }

  async #answer(request: Request, arrival = 0): Promise<void> {
    const { message } = request;
    const type = message.header.msg_type;
    this.#publish('status', { execution_state: 'busy' }, message);
    try {
      const handler = Object.hasOwn(this.#handlers, type) ? this.#handlers[type] : undefined;
      if (!handler) {
        this.#log(`Cannot answer "${type}": the kernel does not know this message`);
        if (type.endsWith('_request'))
          this.#reply(request, errorContent('NotImplementedError', `unknown message "${type}"`));
        return;
      }
      const content =
        type === 'execute_request' && arrival <= this.#abortBefore ? this.#aborted() : await handler(request);
      if (content) this.#reply(request, content);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log(`Cannot answer "${type}": ${text}`);
      if (type.endsWith('_request')) {
        const { name, message: said } =
          error instanceof Error ? error : { name: 'Error', message: String(error) };
        this.#reply(request, this.#failureOf(type, name, said));
      }
    } finally {
      this.#publish('status', { execution_state: 'idle' }, message);
    }
    if (type === 'shutdown_request') {
      if (this.#closed) return;
      this.#closed = true;
      await this.#options.onShutdown?.(message.content['restart'] === true);
    }
  }

  readonly #handlers: Record<string, Handler> = {
    kernel_info_request: async () => this.#kernelInfo(),
    execute_request: (request) => this.#execute(request),
    complete_request: ({ message }) => this.#complete(message.content),
    inspect_request: ({ message }) => this.#inspect(message.content),
    is_complete_request: ({ message }) => this.#isComplete(message.content),
    history_request: async ({ message }) => ({
      status: 'ok',
      history: answerHistory(this.#session.history, message.content),
    }),
    comm_info_request: async ({ message }) => this.#commInfo(message.content),
    comm_open: (request) => this.#comm('open', request),
    comm_msg: (request) => this.#comm('msg', request),
    comm_close: (request) => this.#comm('close', request),
    interrupt_request: async () => {
      this.#cancelInputs();
      await this.#session.interrupt();
      return { status: 'ok' };
    },
    shutdown_request: async ({ message }) => {
      const restart = message.content['restart'] === true;
      this.#cancelInputs();
      return { status: 'ok', restart };
    },
    debug_request: async ({ message: { content } }) =>
      this.#debugger?.request(content) ?? {
        type: 'response',
        request_seq: content['seq'] ?? 0,
        seq: 0,
        success: false,
        command: String(content['command'] ?? ''),
        message: 'Cannot debug: this process has no inspector',
      },
  };

  #kernelInfo(): Content {
    return {
      status: 'ok',
      protocol_version: PROTOCOL_VERSION,
      implementation: 'shardbook',
      implementation_version: this.#options.version ?? '0.1.0',
      language_info: {
        name: 'typescript',
        version: '5.0',
        mimetype: 'text/typescript',
        file_extension: '.ts',
        pygments_lexer: 'typescript',
        codemirror_mode: 'text/typescript',
        nbconvert_exporter: 'script',
      },
      banner: `Shardbook ${this.#options.version ?? ''}: TypeScript on ${this.#session.worldSize} ranks`,
      debugger: this.#debugger !== undefined,
      supported_features: this.#debugger === undefined ? [] : ['debugger'],
      help_links: [{ text: 'TypeScript handbook', url: 'https://www.typescriptlang.org/docs/handbook/' }],
    };
  }

  async #execute(request: Request): Promise<Content> {
    const { message, origin } = request;
    const { content } = message;
    const code = content['code'];
    if (typeof code !== 'string')
      return this.#failureOf('execute_request', 'ValueError', 'the request has no "code"');
    const silent = content['silent'] === true;
    const storeHistory = !silent && content['store_history'] !== false;
    if (!silent) {
      const executionCount = this.#session.executionCount + (storeHistory ? 1 : 0);
      this.#publish('execute_input', { code, execution_count: executionCount }, message);
    }
    const result = await this.#session.execute(code, {
      silent,
      storeHistory,
      userExpressions: stringRecord(content['user_expressions']),
      onOutput: (output) => this.#publishOutput(output, message, silent),
      onComm: (said) => this.#publishComm(said, message),
      ...(content['allow_stdin'] === true
        ? { onInput: (asked) => this.#askInput(asked, message, origin) }
        : {}),
    });
    if (result.status === 'error' && content['stop_on_error'] !== false) this.#abortBefore = this.#arrivals;
    return executeReply(result);
  }

  #aborted(): Content {
    return { status: 'aborted', execution_count: this.#session.executionCount };
  }

  #publishOutput(output: CellOutput, parent: Message, silent: boolean): void {
    switch (output.type) {
      case 'stream':
        this.#publish('stream', { name: output.name, text: output.text }, parent);
        return;
      case 'display_data':
      case 'update_display_data': {
        const transient = output.displayId === undefined ? {} : { display_id: output.displayId };
        this.#publish(output.type, { data: output.data, metadata: output.metadata, transient }, parent);
        return;
      }
      case 'execute_result': {
        const { data, metadata, executionCount } = output;
        if (!silent)
          this.#publish('execute_result', { data, metadata, execution_count: executionCount }, parent);
        return;
      }
      case 'error': {
        const { ename, evalue, traceback } = output;
        this.#publish('error', { ename, evalue, traceback }, parent);
        return;
      }
      case 'clear_output':
        this.#publish('clear_output', { wait: output.wait }, parent);
        return;
    }
  }

  #askInput(asked: { prompt: string; password: boolean }, parent: Message, origin: unknown): Promise<string> {
    const request = this.#messages.make('input_request', asked, parent);
    return new Promise((resolve) => {
      // Front ends answer with the request as parent; one question at a time is open for each request.
      this.#inputs.set(request.header.msg_id, resolve);
      this.#sink.send('stdin', request, origin);
    });
  }

  #takeInput(message: Message): void {
    if (message.header.msg_type !== 'input_reply') {
      this.#log(`Cannot take "${message.header.msg_type}" on "stdin": wanted "input_reply"`);
      return;
    }
    const parent = message.parent_header.msg_id;
    const key = parent !== undefined && this.#inputs.has(parent) ? parent : this.#inputs.keys().next().value;
    if (key === undefined) return;
    const resolve = this.#inputs.get(key);
    this.#inputs.delete(key);
    resolve?.(String(message.content['value'] ?? ''));
  }

  #cancelInputs(): void {
    this.#inputs.clear();
  }

  async #complete(content: Content): Promise<Content> {
    const code = String(content['code'] ?? '');
    const cursor = toUnits(code, content['cursor_pos']);
    const { matches, cursorStart, cursorEnd, kinds } = await this.#session.complete(code, cursor);
    const start = toCharacters(code, cursorStart);
    const end = toCharacters(code, cursorEnd);
    const types = matches.map((text, i) => ({ text, type: kinds[i] ?? '', start, end }));
    return {
      status: 'ok',
      matches,
      cursor_start: start,
      cursor_end: end,
      metadata: { _jupyter_types_experimental: types },
    };
  }

  async #inspect(content: Content): Promise<Content> {
    const code = String(content['code'] ?? '');
    const detail = content['detail_level'] === 1 ? 1 : 0;
    const { found, data } = await this.#session.inspect(code, toUnits(code, content['cursor_pos']), detail);
    return { status: 'ok', found, data, metadata: {} };
  }

  async #isComplete(content: Content): Promise<Content> {
    const { status, indent } = await this.#session.isComplete(String(content['code'] ?? ''));
    return status === 'incomplete' ? { status, indent } : { status };
  }

  #commInfo(content: Content): Content {
    const wanted = content['target_name'];
    const comms = [...this.#session.comms()].filter(
      ([, target]) => wanted === undefined || wanted === null || wanted === '' || wanted === target,
    );
    return {
      status: 'ok',
      comms: Object.fromEntries(comms.map(([id, target]) => [id, { target_name: target }])),
    };
  }

  /** A front end's word on a comm. What nobody is there for is closed again, as the protocol says. */
  async #comm(type: CommMessage['type'], { message, origin }: Request): Promise<undefined> {
    const { comm_id: id, target_name: target, data = {} } = message.content;
    if (typeof id !== 'string' || id === '' || (type === 'open' && typeof target !== 'string')) {
      this.#log(`Cannot take "comm_${type}": it has no "comm_id", or no "target_name"`);
      return undefined;
    }
    const said: CommMessage = {
      type,
      id,
      ...(type === 'open' ? { target: String(target) } : {}),
      data,
      metadata: message.metadata,
      buffers: message.buffers ?? [],
    };
    const taken = await this.#session.comm(said, {
      onOutput: (output) => this.#publishOutput(output, message, false),
      onComm: (answer) => this.#publishComm(answer, message),
      onInput: (asked) => this.#askInput(asked, message, origin),
    });
    if (taken) return undefined;
    const what = type === 'open' ? `there is no target "${String(target)}"` : 'it is not open';
    this.#log(`Cannot deliver "comm_${type}" to comm "${id}": ${what}`);
    if (type === 'open') this.#publish('comm_close', { comm_id: id, data: {} }, message);
    return undefined;
  }

  #publishComm(
    { type, id, target, data, metadata, buffers }: CommMessage,
    parent: Message | undefined,
  ): void {
    const content = { comm_id: id, data, ...(type === 'open' ? { target_name: target ?? '' } : {}) };
    this.#send('iopub', this.#messages.make(`comm_${type}`, content, parent, metadata, buffers));
  }

  #failureOf(type: string, name: string, text: string): Content {
    const content = errorContent(name, text);
    return type === 'execute_request'
      ? { ...content, execution_count: this.#session.executionCount, user_expressions: {}, payload: [] }
      : content;
  }

  #reply({ message, channel, origin }: Request, content: Content): void {
    const type = message.header.msg_type.replace(/_request$/, '_reply');
    this.#send(channel, this.#messages.make(type, content, message), origin);
  }

  #publish(type: string, content: Content, parent: Message | undefined): void {
    this.#send('iopub', this.#messages.make(type, content, parent));
  }

  /** What cannot be written down (a BigInt in a display, a circle) is said, and stops nothing. */
  #send(channel: Channel, message: Message, origin?: unknown): void {
    try {
      this.#sink.send(channel, message, origin);
    } catch (error) {
      const why = error instanceof Error ? error.message.split('\n')[0]! : String(error);
      const { msg_type: type } = message.header;
      this.#log(`Cannot send "${type}": ${why}`);
      const { parent_header: parent } = message;
      if (type === 'stream' || !('msg_id' in parent)) return;
      const text = `Warning: "${type}" cannot be shown: ${why}\n`;
      const instead = this.#messages.make(
        'stream',
        { name: 'stderr', text },
        { ...message, header: parent as Message['header'] },
      );
      try {
        this.#sink.send('iopub', instead);
      } catch {
        // The carrier is gone.
      }
    }
  }

  #log(text: string): void {
    this.#options.log?.(text);
  }
}

function executeReply({ status, executionCount, error, payload, userExpressions }: ExecuteResult): Content {
  const common = { status, execution_count: executionCount, payload, user_expressions: userExpressions };
  return error ? { ...common, ename: error.ename, evalue: error.evalue, traceback: error.traceback } : common;
}

function errorContent(ename: string, evalue: string): Content {
  return { status: 'error', ename, evalue, traceback: [`${ename}: ${evalue}`] };
}

function stringRecord(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** The protocol counts characters, JavaScript counts UTF-16 units. */
function toUnits(code: string, position: unknown): number {
  if (typeof position !== 'number') return code.length;
  return [...code].slice(0, Math.max(0, position)).join('').length;
}

function toCharacters(code: string, units: number): number {
  return [...code.slice(0, units)].length;
}
