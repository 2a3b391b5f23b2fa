/** Modules, published as `nn`; functions without state are published as `F`. */
export * from './activation.js';
export * from './attention.js';
export { joinKwargs, splitKwargs } from './call.js';
export * from './containers.js';
export * from './conv.js';
export { deepcopy } from './copy.js';
export * from './dropout.js';
export * as functional from './functional/index.js';
export { functionalCall } from './functional-call.js';
export * from './hooks.js';
export * as init from './init.js';
export * from './linear.js';
export * from './loss.js';
export { isModule, Module, stateOf } from './module.js';
export * from './normalization.js';
export { Buffer, isParameter, markParameter, Parameter } from './parameter.js';
export * from './transformer.js';
export * as utils from './utils.js';
