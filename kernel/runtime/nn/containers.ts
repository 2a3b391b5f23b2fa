import { ShardbookError } from '../base/index.js';
import type { Tensor } from '../tensor/index.js';
import { Module } from './module.js';
import { isParameter, Parameter } from './parameter.js';
import { describeList } from './repr.js';
import { isModule, stateOf } from './state.js';

function member<T>(name: string, all: readonly T[], index: number): T {
  const value = all[index < 0 ? index + all.length : index];
  if (value === undefined) {
    throw new ShardbookError({
      code: 'SB_NN_INDEX',
      message: `Cannot take entry ${index} of ${name}: it has ${all.length} entries`,
    });
  }
  return value;
}

/** Runs its modules one after the other; each gets what the one before returned. */
export class Sequential extends Module {
  constructor(...modules: readonly Module[] | readonly [Readonly<Record<string, Module>>]) {
    super();
    const [first] = modules;
    if (modules.length === 1 && typeof first === 'object' && first !== null && !isModule(first)) {
      for (const [name, module] of Object.entries(first)) this.addModule(name, module);
    } else {
      for (const [i, module] of (modules as readonly Module[]).entries()) this.addModule(String(i), module);
    }
  }

  forward(input: Tensor): Tensor {
    let x = input;
    for (const module of stateOf(this).modules.values()) x = (module as Module)(x) as Tensor;
    return x;
  }

  get size(): number {
    return stateOf(this).modules.size;
  }

  /** The entry at an index; negative indices count from the end. */
  at(index: number): Module {
    return member(this._getName(), [...this], index);
  }

  /** The entries from `start` to before `end` as a Sequential that shares them. */
  slice(start?: number, end?: number): Sequential {
    const entries = [...stateOf(this).modules].slice(start, end) as [string, Module][];
    const part = new (this.constructor as new () => Sequential)();
    for (const [name, module] of entries) part.addModule(name, module);
    return part;
  }

  append(module: Module): this {
    this.addModule(String(this.size), module);
    return this;
  }

  extend(modules: Iterable<Module>): this {
    for (const module of modules) this.append(module);
    return this;
  }

  insert(index: number, module: Module): this {
    const all = [...this];
    all.splice(index, 0, module);
    for (const [i, m] of all.entries()) this.addModule(String(i), m);
    return this;
  }

  *[Symbol.iterator](): IterableIterator<Module> {
    for (const module of stateOf(this).modules.values()) if (module !== null) yield module;
  }
}

/** A list of modules that are registered but not run: index it with `at`, or iterate over it. */
export class ModuleList<M extends Module = Module> extends Module {
  constructor(modules: Iterable<M> = []) {
    super();
    this.extend(modules);
  }

  forward(..._args: never[]): never {
    throw notCallable('ModuleList', 'iterate over its modules');
  }

  get size(): number {
    return stateOf(this).modules.size;
  }

  /** The entry at an index; negative indices count from the end. */
  at(index: number): M {
    return member('ModuleList', [...this], index);
  }

  /** Replaces the entry at an index. */
  set(index: number, module: M): void {
    member('ModuleList', [...this], index);
    this.registerModule(String(index < 0 ? index + this.size : index), module);
  }

  slice(start?: number, end?: number): ModuleList<M> {
    return new (this.constructor as new (modules: M[]) => ModuleList<M>)([...this].slice(start, end));
  }

  append(module: M): this {
    this.addModule(String(this.size), module);
    return this;
  }

  extend(modules: Iterable<M>): this {
    for (const module of [...modules]) this.append(module);
    return this;
  }

  insert(index: number, module: M): this {
    const all = [...this];
    all.splice(index, 0, module);
    for (const [i, m] of all.entries()) this.addModule(String(i), m);
    return this;
  }

  map<T>(fn: (module: M, index: number) => T): T[] {
    return [...this].map(fn);
  }

  *[Symbol.iterator](): IterableIterator<M> {
    for (const module of stateOf(this).modules.values()) if (module !== null) yield module as M;
  }

  override toString(): string {
    return describeList(this._getName(), this);
  }
}

/** Modules by name, registered but not run. */
export class ModuleDict<M extends Module = Module> extends Module {
  constructor(modules: Readonly<Record<string, M>> | Iterable<readonly [string, M]> = {}) {
    super();
    this.update(modules);
  }

  forward(..._args: never[]): never {
    throw notCallable('ModuleDict', 'take a module out with get');
  }

  get size(): number {
    return stateOf(this).modules.size;
  }

  /** The module of this name; an error when there is none. */
  get(name: string): M {
    return this.getSubmodule(name) as M;
  }

  has(name: string): boolean {
    return stateOf(this).modules.has(name);
  }

  set(name: string, module: M): void {
    this.addModule(name, module);
  }

  /** Takes a module out. */
  pop(name: string): M {
    const module = this.get(name);
    Reflect.deleteProperty(this, name);
    return module;
  }

  update(modules: Readonly<Record<string, M>> | Iterable<readonly [string, M]>): void {
    const entries =
      Symbol.iterator in modules ? (modules as Iterable<readonly [string, M]>) : Object.entries(modules);
    for (const [name, module] of entries) this.addModule(name, module);
  }

  keys(): string[] {
    return [...stateOf(this).modules.keys()];
  }

  values(): M[] {
    return [...stateOf(this).modules.values()] as M[];
  }

  entries(): [string, M][] {
    return [...stateOf(this).modules.entries()] as [string, M][];
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.keys()[Symbol.iterator]();
  }
}

/** A list of parameters; plain tensors become parameters. */
export class ParameterList extends Module {
  constructor(values: Iterable<Tensor> = []) {
    super();
    this.extend(values);
  }

  forward(..._args: never[]): never {
    throw notCallable('ParameterList', 'use its parameters');
  }

  get size(): number {
    return stateOf(this).parameters.size;
  }

  at(index: number): Parameter {
    return member('ParameterList', [...this], index);
  }

  append(value: Tensor): this {
    this.registerParameter(String(this.size), asParameter(value));
    return this;
  }

  extend(values: Iterable<Tensor>): this {
    for (const value of [...values]) this.append(value);
    return this;
  }

  *[Symbol.iterator](): IterableIterator<Parameter> {
    for (const parameter of stateOf(this).parameters.values()) if (parameter !== null) yield parameter;
  }

  override extraRepr(): string {
    return describeParameters(stateOf(this).parameters);
  }
}

/** Parameters by name; plain tensors become parameters. */
export class ParameterDict extends Module {
  constructor(values: Readonly<Record<string, Tensor>> = {}) {
    super();
    this.update(values);
  }

  forward(..._args: never[]): never {
    throw notCallable('ParameterDict', 'use its parameters');
  }

  get size(): number {
    return stateOf(this).parameters.size;
  }

  get(name: string): Parameter {
    return this.getParameter(name);
  }

  has(name: string): boolean {
    return stateOf(this).parameters.has(name);
  }

  set(name: string, value: Tensor): void {
    this.registerParameter(name, asParameter(value));
  }

  pop(name: string): Parameter {
    const parameter = this.get(name);
    Reflect.deleteProperty(this, name);
    return parameter;
  }

  update(values: Readonly<Record<string, Tensor>>): void {
    for (const [name, value] of Object.entries(values)) this.set(name, value);
  }

  keys(): string[] {
    return [...stateOf(this).parameters.keys()];
  }

  values(): Parameter[] {
    return [...stateOf(this).parameters.values()] as Parameter[];
  }

  entries(): [string, Parameter][] {
    return [...stateOf(this).parameters.entries()] as [string, Parameter][];
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.keys()[Symbol.iterator]();
  }

  override extraRepr(): string {
    return describeParameters(stateOf(this).parameters);
  }
}

function asParameter(value: Tensor): Parameter {
  if (isParameter(value)) return value;
  return new Parameter(value, value.dtype.isFloatingPoint);
}

function describeParameters(parameters: ReadonlyMap<string, Parameter | null>): string {
  return [...parameters]
    .map(
      ([name, p]) =>
        `(${name}): ${p === null ? 'None' : `Parameter containing: [${p.dtype} of size ${p.shape.join('x')}]`}`,
    )
    .join('\n');
}

function notCallable(name: string, instead: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_NN_FORWARD',
    message: `Cannot call a ${name}: it only holds its members`,
    help: instead,
  });
}
