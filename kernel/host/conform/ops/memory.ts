/** ops_memory: closed forms of memory, traffic and time. Names are the recorder's, everything else is the runtime's. */
import { formulas as f } from '../../../runtime/index.js';
import { type Args, op } from './registry.js';

/** `perRank` to `per_rank`, in keys at every depth. */
function snake(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snake);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, entry]) => [
    key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    snake(entry),
  ]);
  return Object.fromEntries(entries);
}

const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** The arguments that were given, as the options of a function. */
function options<T>(a: Args, params: string): T {
  const given = params.split(' ').filter((name) => a.get(name) !== undefined);
  return Object.fromEntries(given.map((name) => [camel(name), a.get(name)])) as T;
}

/** An operation whose parameters are the options of a closed form. */
function form<T>(name: string, params: string, compute: (o: T) => unknown): void {
  op(`mem.${name}`, params, (a) => snake(compute(options<T>(a, params))));
}

const LAYER = 'batch seq hidden heads';

form('model_state', 'params world strategy param grad master moments moment shard', f.modelState);
op('mem.fsdp2_shards', 'shapes world bytes_per_element', (a) =>
  snake(f.fsdpShards(a.get('shapes'), a.number('world'), a.number('bytes_per_element', 4))),
);
op('mem.flat_shards', 'shapes world', (a) => snake(f.flatShards(a.get('shapes'), a.number('world'))));
form(
  'transformer_params',
  'layers hidden vocab ffn heads kv_heads gated biases tied positions norm_bias',
  f.transformerParams,
);
op('mem.saving', 'world sharded_fraction', (a) =>
  f.shardingSaving(a.number('world'), a.number('sharded_fraction', 1)),
);

op('mem.collective_bytes', 'collective size world', (a) =>
  f.collectiveBytes(camel(a.get('collective')) as f.CollectiveName, a.number('size'), a.number('world')),
);
form<f.StrategyTrafficOptions>(
  'strategy_traffic',
  'strategy groups world param_bytes reduce_bytes micro_batches shard sync_every_micro_batch root_group',
  (o) => f.strategyTraffic({ ...o, strategy: camel(o.strategy) as f.StrategyTrafficOptions['strategy'] }),
);
form('tp_traffic', 'batch seq hidden layers world bytes_per_element', f.tensorParallelTraffic);
form('pp_traffic', 'micro_batches tokens hidden stages bytes_per_element', f.pipelineTraffic);
form(
  'cp_traffic',
  'batch seq kv_heads head_dim layers cp bytes_per_element grad_bytes recompute',
  f.contextParallelTraffic,
);
form('ep_traffic', 'tokens top_k hidden ep layers bytes_per_element', f.expertParallelTraffic);
form('offload_traffic', 'params world bytes_per_element micro_batches reshard bandwidth', f.offloadTraffic);

form<f.CollectiveTimeOptions>('collective_time', 'algorithm size world alpha bandwidth chunks', (o) =>
  f.collectiveTime({ ...o, algorithm: camel(o.algorithm) as f.TimedAlgorithm }),
);
op('mem.hierarchical_all_reduce', 'size nodes per_node alpha_in bw_in alpha_out bw_out', (a) =>
  snake(
    f.hierarchicalAllReduceTime({
      size: a.number('size'),
      nodes: a.number('nodes'),
      perNode: a.number('per_node'),
      alphaIn: a.number('alpha_in'),
      bandwidthIn: a.number('bw_in'),
      alphaOut: a.number('alpha_out'),
      bandwidthOut: a.number('bw_out'),
    }),
  ),
);
op('mem.crossover', 'world alpha bandwidth', (a) =>
  f.ringTreeCrossover(a.number('world'), { alpha: a.number('alpha'), bandwidth: a.number('bandwidth') }),
);
op('mem.ring_trace', 'values op_', (a) =>
  f.ringTrace(a.get('values'), camel(a.get('op_', 'all_reduce')) as 'allReduce' | 'reduceScatter'),
);
op('mem.bus_bandwidth', 'collective size world seconds', (a) =>
  f.busBandwidth(camel(a.get('collective')), a.number('size'), a.number('world'), a.number('seconds')),
);
op('mem.fit_link', 'sizes seconds', (a) => f.fitLink(a.get('sizes'), a.get('seconds')));
op('mem.protocol', 'sizes protocols bandwidth', (a) => {
  const given = a.get<[string, number, number][]>('protocols');
  const protocols = given.map(([name, latency, efficiency]) => ({ name, latency, efficiency }));
  return f.chooseProtocol(a.get('sizes'), protocols, a.number('bandwidth'));
});

form('pipeline_order', 'schedule stages micro_batches virtual', f.pipelineOrder);
form('pipeline_simulate', 'schedule stages micro_batches virtual forward backward send', f.pipelineTime);
form('bubble', 'schedule stages micro_batches virtual', f.pipelineBubble);

form('activation_items', `${LAYER} flash`, f.activationItems);
form('activation_layer', `${LAYER} tp sequence_parallel recompute cp`, f.activationLayer);
form(
  'activation_model',
  `${LAYER} layers vocab stages micro_batches schedule tp sequence_parallel recompute`,
  f.activationModel,
);
op('mem.checkpoint', 'segments', (a) => snake(f.checkpointMemory(a.get('segments'))));
op('mem.best_checkpoint', 'layers', (a) => f.bestCheckpoint(a.number('layers')));
op('mem.optimal_segments', 'layers k', (a) => f.optimalSegments(a.number('layers'), a.number('k')));

op('mem.forward_overlap', 'compute gather depth', (a) =>
  snake(f.forwardOverlap(a.get('compute'), a.get('gather'), a.number('depth', 1))),
);
op('mem.backward_overlap', 'compute gather scatter shared_link', (a) =>
  f.backwardOverlap(a.get('compute'), a.get('gather'), a.get('scatter'), a.get('shared_link', false)),
);
form('ddp_overlap', 'sizes compute cap first_cap alpha bandwidth', f.bucketOverlap);
op('mem.bucket_time', 'total bucket alpha bandwidth', (a) =>
  f.bucketTime(a.number('total'), a.number('bucket'), {
    alpha: a.number('alpha'),
    bandwidth: a.number('bandwidth'),
  }),
);
op('mem.ring_overlap', 'cp compute hop', (a) =>
  f.ringOverlap(a.number('cp'), a.number('compute'), a.number('hop')),
);

const PLAN =
  'layer_params seq hidden heads layers vocab recompute prefetch state_bytes working_bytes overhead fragmentation';
form('plan', `params world layer_params batch ${PLAN.replace('layer_params ', '')}`, f.memoryPlan);
const BATCH = `params world ${PLAN}`;
op('mem.largest_batch', `limit ${BATCH}`, (a) =>
  f.largestBatch(a.number('limit'), options<Parameters<typeof f.largestBatch>[1]>(a, BATCH)),
);
op('mem.fewest_ranks', 'params state_bytes device_bytes power_of_two', (a) =>
  f.fewestRanks(
    a.number('params'),
    a.number('state_bytes'),
    a.number('device_bytes'),
    a.get('power_of_two', true),
  ),
);
form('step_metrics', 'params tokens seconds ranks peak_flops recompute', f.stepMetrics);
op('mem.caching_allocator', 'events capacity block', (a) =>
  snake(f.firstFitAllocator(a.get('events'), a.number('capacity'), a.number('block', 512))),
);
