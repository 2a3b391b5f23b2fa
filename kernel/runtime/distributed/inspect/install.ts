/** Gives meshes and DTensors their pictures: a method under this name says how `display` shows a value. */
import {
  DTensor,
  PartialPlacement,
  ReplicatePlacement,
  ShardPlacement,
  StridedShardPlacement,
} from '../dtensor/index.js';
import { DeviceMesh } from '../mesh/index.js';
import { meshHtml, meshText } from './mesh-view.js';
import { shardingHtml, shardingText } from './sharding-view.js';

const mimeKey = Symbol.for('shardbook.toMime');
/** What Node's console asks; the runtime knows it by name only. */
const inspectKey = Symbol.for('nodejs.util.inspect.custom');

function give<T extends object>(prototype: T, key: symbol, value: (this: T) => unknown): void {
  Object.defineProperty(prototype, key, { value, configurable: true, writable: true });
}

give(DeviceMesh.prototype, mimeKey, function () {
  return { 'text/html': meshHtml(this), 'text/plain': meshText(this) };
});
give(DeviceMesh.prototype, inspectKey, function () {
  return String(this);
});
give(DTensor.prototype, mimeKey, function () {
  return { 'text/html': shardingHtml(this.spec), 'text/plain': shardingText(this.spec) };
});

for (const { prototype } of [ShardPlacement, StridedShardPlacement, ReplicatePlacement, PartialPlacement])
  give(prototype as object, inspectKey, function () {
    return String(this);
  });
