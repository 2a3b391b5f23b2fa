/** Styles that touch no parameter: they bring inputs and outputs of a module where they are needed. */
import type { Module } from '../../nn/index.js';
import { Tensor } from '../../tensor/index.js';
import { DTensor, type Placement } from '../dtensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { kindOf, ParallelStyle, styleError } from './style.js';

/** One layout, or one per input or output; null leaves that one alone. */
export type Layouts = Placement | readonly (Placement | null)[];
type KwargLayouts = Readonly<Record<string, Placement>>;

export interface PrepareModuleInputOptions {
  /** How the positional inputs lie that come as plain tensors. */
  inputLayouts?: Layouts | null;
  /** Where they have to be. */
  desiredInputLayouts?: Layouts | null;
  /** The same for keyword arguments, by name. */
  inputKwargLayouts?: KwargLayouts | null;
  desiredInputKwargLayouts?: KwargLayouts | null;
  /** Whether the module gets this rank's part or the DTensor (the default). */
  useLocalOutput?: boolean;
}

export interface PrepareModuleOutputOptions {
  /** How outputs lie that are plain tensors. */
  outputLayouts: Layouts;
  /** Where they have to be. */
  desiredOutputLayouts: Layouts;
  /** Whether callers get this rank's part (the default) or the DTensor. */
  useLocalOutput?: boolean;
}

export interface PrepareModuleInputOutputOptions extends Omit<PrepareModuleInputOptions, 'useLocalOutput'> {
  outputLayouts: Layouts;
  desiredOutputLayouts: Layouts;
  /** Whether the module gets this rank's part of its inputs or the DTensor (the default). */
  useLocalInput?: boolean;
  useLocalOutput?: boolean;
}

type LayoutList = readonly (Placement | null)[];

function listed(layouts: Layouts): LayoutList {
  return Array.isArray(layouts) ? (layouts as LayoutList) : [layouts as Placement];
}

function checkLengths(what: string, given: number, desired: number): void {
  if (given === desired) return;
  throw styleError(
    'SB_TP_LAYOUTS',
    `Cannot prepare ${what}: ${given} layouts and ${desired} desired layouts are given, wanted as many`,
    'null in both lists leaves one alone',
  );
}

const text = (layouts: LayoutList | null): string =>
  layouts === null ? 'null' : `(${layouts.map(String).join(', ')})`;

const kwargText = (layouts: KwargLayouts): string =>
  `{${Object.entries(layouts)
    .map(([name, placement]) => `${name}: ${placement}`)
    .join(', ')}}`;

/** `value` as a DTensor that lies as `layout` and is then brought to `desired`. */
function prepare(
  value: unknown,
  layout: Placement,
  desired: Placement | null | undefined,
  mesh: DeviceMesh,
  local: boolean,
  what: string,
): Tensor {
  let prepared: DTensor;
  if (value instanceof DTensor) prepared = value;
  else if (value instanceof Tensor) prepared = DTensor.fromLocal(value, mesh, [layout], { runCheck: false });
  else {
    throw styleError(
      'SB_TP_INPUT',
      `Cannot prepare ${what}: it is ${kindOf(value)}, wanted a Tensor or a DTensor`,
      'put null in its place to leave it alone',
    );
  }
  if (desired !== null && desired !== undefined && desired.key !== layout.key)
    prepared = prepared.redistribute([desired]);
  return local ? prepared.toLocal() : prepared;
}

/**
 * Brings the inputs of a module where they are needed.
 *
 * @example new PrepareModuleInput({ inputLayouts: [Shard(0), null], desiredInputLayouts: [Replicate(), null] })
 */
export class PrepareModuleInput extends ParallelStyle {
  readonly inputLayouts: LayoutList | null;
  readonly desiredInputLayouts: LayoutList | null;
  readonly inputKwargLayouts: KwargLayouts;
  readonly desiredInputKwargLayouts: KwargLayouts;
  readonly useLocalOutput: boolean;
  readonly #withKwargs: boolean;

  constructor(options: PrepareModuleInputOptions = {}) {
    super();
    const { inputLayouts = null, desiredInputLayouts = null } = options;
    this.inputLayouts = inputLayouts === null ? null : listed(inputLayouts);
    this.desiredInputLayouts = desiredInputLayouts === null ? null : listed(desiredInputLayouts);
    this.useLocalOutput = options.useLocalOutput ?? false;
    if (this.inputLayouts !== null) {
      if (this.desiredInputLayouts === null) {
        throw styleError(
          'SB_TP_LAYOUTS',
          'Cannot prepare the inputs of a module: inputLayouts are given, desiredInputLayouts are not',
          'pass both: where the inputs are, and where they have to be',
        );
      }
      checkLengths('the inputs of a module', this.inputLayouts.length, this.desiredInputLayouts.length);
    }
    this.#withKwargs = options.inputKwargLayouts !== undefined && options.inputKwargLayouts !== null;
    this.inputKwargLayouts = options.inputKwargLayouts ?? {};
    this.desiredInputKwargLayouts = options.desiredInputKwargLayouts ?? {};
    if (this.#withKwargs) {
      checkLengths(
        'the keyword arguments of a module',
        Object.keys(this.inputKwargLayouts).length,
        Object.keys(this.desiredInputKwargLayouts).length,
      );
    }
  }

  override apply(module: Module, mesh: DeviceMesh): Module {
    if (this.#withKwargs) {
      module.registerForwardPreHook(
        (part: Module, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>) =>
          [this.#positional(part, args, mesh), this.#keywords(part, kwargs, mesh)] as const,
        { withKwargs: true },
      );
    } else
      module.registerForwardPreHook((part: Module, args: readonly unknown[]) =>
        this.#positional(part, args, mesh),
      );
    return module;
  }

  #positional(module: Module, args: readonly unknown[], mesh: DeviceMesh): readonly unknown[] {
    const layouts = this.inputLayouts;
    if (layouts === null) return args;
    if (args.length !== layouts.length) {
      throw styleError(
        'SB_TP_LAYOUTS',
        `Cannot prepare the inputs of ${kindOf(module)}: it got ${args.length} inputs, the style has ${layouts.length} layouts`,
        'give one layout per positional input, null for those to leave alone',
      );
    }
    return args.map((arg, i) => {
      const layout = layouts[i];
      return layout === null || layout === undefined
        ? arg
        : prepare(
            arg,
            layout,
            this.desiredInputLayouts![i],
            mesh,
            this.useLocalOutput,
            `input ${i} of ${kindOf(module)}`,
          );
    });
  }

  #keywords(
    module: Module,
    kwargs: Readonly<Record<string, unknown>>,
    mesh: DeviceMesh,
  ): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(kwargs).map(([name, value]) => {
        const layout = this.inputKwargLayouts[name];
        if (layout === undefined) return [name, value];
        const desired = this.desiredInputKwargLayouts[name];
        return [
          name,
          prepare(
            value,
            layout,
            desired,
            mesh,
            this.useLocalOutput,
            `argument "${name}" of ${kindOf(module)}`,
          ),
        ];
      }),
    );
  }

  protected override describe(): string {
    return [
      `inputLayouts=${text(this.inputLayouts)}`,
      `desiredInputLayouts=${text(this.desiredInputLayouts)}`,
      `inputKwargLayouts=${kwargText(this.inputKwargLayouts)}`,
      `desiredInputKwargLayouts=${kwargText(this.desiredInputKwargLayouts)}`,
      `useLocalOutput=${this.useLocalOutput}`,
    ].join(', ');
  }
}

/** Brings the outputs of a module where they are needed. */
export class PrepareModuleOutput extends ParallelStyle {
  readonly outputLayouts: LayoutList;
  readonly desiredOutputLayouts: LayoutList;
  readonly useLocalOutput: boolean;

  constructor(options: PrepareModuleOutputOptions) {
    super();
    this.outputLayouts = listed(options.outputLayouts);
    this.desiredOutputLayouts = listed(options.desiredOutputLayouts);
    this.useLocalOutput = options.useLocalOutput ?? true;
    checkLengths('the outputs of a module', this.outputLayouts.length, this.desiredOutputLayouts.length);
  }

  override apply(module: Module, mesh: DeviceMesh): Module {
    module.registerForwardHook((part: Module, _args: readonly unknown[], output: unknown) =>
      this.#outputs(part, output, mesh),
    );
    return module;
  }

  #outputs(module: Module, output: unknown, mesh: DeviceMesh): unknown {
    const outputs: readonly unknown[] = Array.isArray(output) ? output : [output];
    if (outputs.length !== this.outputLayouts.length) {
      throw styleError(
        'SB_TP_LAYOUTS',
        `Cannot prepare the outputs of ${kindOf(module)}: it gave ${outputs.length} outputs, the style has ${this.outputLayouts.length} layouts`,
        'give one layout per output, null for those to leave alone',
      );
    }
    const prepared = outputs.map((one, i) => {
      const layout = this.outputLayouts[i];
      return layout === null || layout === undefined
        ? one
        : prepare(
            one,
            layout,
            this.desiredOutputLayouts[i],
            mesh,
            this.useLocalOutput,
            `output ${i} of ${kindOf(module)}`,
          );
    });
    return prepared.length === 1 ? prepared[0] : prepared;
  }

  protected override describe(): string {
    return `outputLayouts=${text(this.outputLayouts)}, desiredOutputLayouts=${text(this.desiredOutputLayouts)}, useLocalOutput=${this.useLocalOutput}`;
  }
}

/** Both: inputs and outputs. */
export class PrepareModuleInputOutput extends ParallelStyle {
  readonly prepareModuleInput: PrepareModuleInput;
  readonly prepareModuleOutput: PrepareModuleOutput;

  constructor(options: PrepareModuleInputOutputOptions) {
    super();
    const { useLocalInput = false, useLocalOutput, outputLayouts, desiredOutputLayouts, ...inputs } = options;
    this.prepareModuleInput = new PrepareModuleInput({ ...inputs, useLocalOutput: useLocalInput });
    this.prepareModuleOutput = new PrepareModuleOutput({
      outputLayouts,
      desiredOutputLayouts,
      ...(useLocalOutput === undefined ? {} : { useLocalOutput }),
    });
  }

  override apply(module: Module, mesh: DeviceMesh): Module {
    this.prepareModuleInput.apply(module, mesh);
    return this.prepareModuleOutput.apply(module, mesh);
  }

  protected override describe(): string {
    return `${this.prepareModuleInput}, ${this.prepareModuleOutput}`;
  }
}
