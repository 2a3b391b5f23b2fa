/** What the golden cases of DTensors do, as text that test ranks run: each case's name and fields say what it is. */

/** Helpers of all programs; `golden` is the list of cases without what PyTorch observed. */
const prelude = `
  const { dtensor, DTensor, nn, F } = runtime;
  const { Shard, Replicate, Partial, StridedShard, distributeTensor } = runtime;
  const KEYS = { allGatherSingle: 'all_gather_into_tensor', allReduce: 'all_reduce', reduceScatterSingle: 'reduce_scatter_tensor',
    allToAllSingle: 'all_to_all_single', broadcast: 'broadcast_', scatter: 'scatter_' };
  const out = (t) => ({ dtype: t.dtype.name, shape: [...t.shape], data: (t.dtype.name === 'bfloat16' ? t.to(torch.float32) : t).detach().flatten().tolist() });
  const text = (p) => p.key.replace('NormP', '_NormP');
  const place = (s) => s === 'R' ? Replicate() : s[0] === 'P' ? Partial(s.split(':')[1] ?? (s.slice(1).replace(/[()]/g, '') || 'sum'))
    : s.startsWith('SS') ? StridedShard(Number(s.slice(2).split('x')[0]), Number(s.split('x')[1])) : Shard(Number(s.slice(1)));
  const named = { avg: Partial('avg'), max: Partial('max'), min: Partial('min') };
  const placed = (s) => named[s] ?? place(s);
  const range = (shape) => torch.arange(shape.reduce((a, b) => a * b, 1), { dtype: torch.float32 }).add(1).reshape(shape);
  const g = (shape, seed = 0) => torch.tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (((i * 7 + seed * 3) % 11) - 5) / 4)).reshape(shape);
  const meshes = new Map();
  const meshOf = (shape) => { const key = shape.join(); if (!meshes.has(key)) meshes.set(key, dist.initDeviceMesh('cpu', shape)); return meshes.get(key); };
  const counted = (body) => { const mode = new CommDebugMode(); const value = mode.run(body);
    return [value, Object.fromEntries(Object.entries(mode.getCommCounts()).map(([k, v]) => [KEYS[k] ?? k, v]))]; };
  const seen = (t) => ({ placements: t.placements.map(text), shape: [...t.shape], local: out(t.toLocal()) });
  /** A DTensor whose shards are those of the whole, and whose pending parts are the whole times (coordinate + 1). */
  const lay = (whole, mesh, placements) => {
    const cut = placements.map((p) => p.isPartial() ? Replicate() : p);
    let local = distributeTensor(whole, mesh, cut, { srcDataRank: null }).toLocal();
    const at = mesh.getCoordinate();
    placements.forEach((p, axis) => { if (p.isPartial()) local = local.mul(at[axis] + 1); });
    return DTensor.fromLocal(local, mesh, placements, { shape: [...whole.shape] });
  };
  const attempt = (body) => { try { return body(); } catch (error) { return { error: String(error.code ?? error.stack) }; } };`;

export const redistributeProgram = (cases: unknown): string => `${prelude}
  const golden = ${JSON.stringify(cases)};
  return golden.map((c) => attempt(() => {
    const mesh = meshOf(c.mesh);
    const [src, dst] = [c.src.map(placed), c.dst.map(placed)];
    // Recorded with distribute_tensor, which refuses strided pieces of different sizes.
    const x = src.some((p) => p instanceof StridedShard) ? distributeTensor(range(c.shape), mesh, src) : lay(range(c.shape), mesh, src);
    const [y, comms] = counted(() => x.redistribute(mesh, dst));
    const told = dtensor.explain((d) => d.redistribute(mesh, dst), x).ops;
    const steps = told.length === 0 ? [] : told[0].moves[0].steps.map(({ axis, from, to }) => [axis, from, to].join(' '));
    return { local: out(y.toLocal()), comms, steps };
  }));`;

export const shardProgram = (cases: unknown): string => `${prelude}
  const golden = ${JSON.stringify(cases)};
  return golden.map((c) => attempt(() => {
    const mesh = meshOf(c.mesh);
    const placements = c.placements.map(placed);
    const x = distributeTensor(range(c.shape), mesh, placements);
    const { shape, offset } = dtensor.computeLocalShapeAndGlobalOffset(c.shape, mesh, placements);
    const full = x.fullTensor();
    return { local: out(x.toLocal()), local_shape: shape, global_offset: offset, full: out(full.ndim > 1 ? full.select(1, 0) : full) };
  }));`;

export const opsProgram = (cases: unknown): string => `${prelude}
  const golden = ${JSON.stringify(cases)};
  const mesh = meshOf([size]);
  const at = (whole, p) => lay(whole, mesh, [typeof p === 'string' ? place(p) : p]);
  const result = (value) => ({ out: (Array.isArray(value) ? value : [value]).map(seen) });
  const run = (body) => { const [value, comms] = counted(body); return { ...result(value), comms }; };
  const unary = { neg: (x) => x.neg(), relu: (x) => x.relu(), exp: (x) => x.exp(), silu: (x) => F.silu(x), gelu: (x) => F.gelu(x),
    mul_scalar: (x) => x.mul(2), add_scalar: (x) => x.add(1), div_scalar: (x) => x.div(2), to_bf16: (x) => x.to(torch.bfloat16),
    clone: (x) => x.clone(), zeros_like: (x) => torch.zerosLike(x), abs: (x) => x.abs() };
  const reduce = { sum: (x) => x.sum(), sum0: (x) => x.sum(0), sum1: (x) => x.sum(1), sum1k: (x) => x.sum(1, { keepdim: true }),
    mean: (x) => x.mean(), mean0: (x) => x.mean(0), max: (x) => x.max(), amax0: (x) => x.amax(0), min: (x) => x.min(), prod0: (x) => x.prod(0),
    norm2: (x) => torch.linalg.vectorNorm(x), norminf: (x) => torch.linalg.vectorNorm(x, Infinity), norm1: (x) => torch.linalg.vectorNorm(x, 1),
    norm0p: (x) => torch.linalg.vectorNorm(x, 2, 0), var0: (x) => x.var(0), any: (x) => x.gt(1).any(), all: (x) => x.gt(-9).all(),
    argmax1: (x) => x.argmax(1), argmax0: (x) => x.argmax(0), cumsum0: (x) => x.cumsum(0), topk1: (x) => x.topk(2, 1)[0], logsumexp1: (x) => x.logsumexp(1) };
  const view = { view_8_2_3: (x) => x.view(8, 2, 3), view_48: (x) => x.view(48), view_4_2_6: (x) => x.view(4, 2, 6), view_2_4_6: (x) => x.view(2, 4, 6),
    transpose: (x) => x.transpose(0, 1), permute: (x) => x.unsqueeze(1).permute(2, 1, 0), unsqueeze0: (x) => x.unsqueeze(0),
    flatten_unflat: (x) => x.reshape(4, 12), expand: (x) => x.unsqueeze(1).expand(8, 3, 6), slice0: (x) => x.get(torch.slice(2, 6)),
    slice1: (x) => x.get(torch.slice(null, null), torch.slice(1, 3)), select0: (x) => x.get(0), cat0: (x) => torch.cat([x, x], 0), cat1: (x) => torch.cat([x, x], 1),
    stack0: (x) => torch.stack([x, x], 0), split0: (x) => x.split(4, 0), chunk1: (x) => x.chunk(2, 1), flip0: (x) => x.flip(0), tril: (x) => x.tril(),
    index_rows: (x) => x.indexSelect(0, at(torch.tensor([0, 5]), 'R')), gather1: (x) => x.gather(1, at(torch.tensor(Array.from({ length: 8 }, () => [0, 0])), 'R')), squeeze: (x) => x.unsqueeze(1).squeeze(1) };
  const programs = {
    mm: (_, a, b) => { const [x, w] = [at(g([8, 12], 1), a), at(g([12, 4], 2), b)]; return run(() => x.mm(w)); },
    bmm: (_, a, b) => { const [x, w] = [at(g([4, 6, 8], 1), a), at(g([4, 8, 4], 2), b)]; return run(() => x.bmm(w)); },
    linear2d: (_, x, w, b) => { const t = [at(g([8, 12], 1), x.slice(1)), at(g([4, 12], 2), w.slice(1)), at(g([4], 3), b.slice(1))]; return run(() => F.linear(...t)); },
    linear3d: (_, x, w, b) => { const t = [at(g([2, 4, 12], 1), x.slice(1)), at(g([4, 12], 2), w.slice(1)), at(g([4], 3), b.slice(1))]; return run(() => F.linear(...t)); },
    add: (c, a, b) => { const t = [at(g(c.shape, 4), a), at(g(c.shape, 5), b)]; return run(() => t[0].add(t[1])); },
    mul: (c, a, b) => { const t = [at(g(c.shape, 4), a), at(g(c.shape, 5), b)]; return run(() => t[0].mul(t[1])); },
    unary: (_, name, p) => { const x = at(g([8, 6], 4), p); return run(() => unary[name](x)); },
    reduce: (c, name, p) => { const x = at(g(c.shape, 4), p); return run(() => reduce[name](x)); },
    reduce_uneven: (c, name, p) => { const x = at(g(c.shape, 6), p); return run(() => reduce[name](x)); },
    softmax1: (c, p) => { const x = at(g(c.shape, 7), p); return run(() => x.softmax(1)); },
    log_softmax1: (c, p) => { const x = at(g(c.shape, 7), p); return run(() => x.logSoftmax(1)); },
    view: (c, name, p) => { const x = at(g(c.shape, 2), p); return run(() => view[name](x)); },
    layer_norm: (c, p) => { const t = [at(g(c.shape, 8), p.slice(1)), at(g([8], 9).add(2), 'R'), at(g([8], 3), 'R')]; return run(() => F.layerNorm(t[0], [8], t[1], t[2])); },
    rms_norm: (c, p) => { const t = [at(g(c.shape, 8), p.slice(1)), at(g([8], 9).add(2), 'R')]; return run(() => F.rmsNorm(t[0], [8], t[1], c.eps)); },
    embedding: (_, w, i) => {
      const index = torch.tensor([[0, 3, 7, 2], [5, 5, 1, 6]]);
      const t = [at(index, i.slice(1)), at(g([8, 4], 1), w.slice(1))];
      const y = F.embedding(...t);
      const [full, comms_to_full] = counted(() => y.fullTensor());
      return { placements: y.placements.map(text).map((t) => t.replace('sum, [8, 4]', 'sum, torch.Size([8, 4])')), full: out(full), comms_to_full };
    },
    cross_entropy: (_, x, y) => { const t = [at(g([8, 8], 3), x.slice(1)), at(torch.tensor([0, 3, 7, 2, 5, 5, 1, 6]), y.slice(1))]; return run(() => F.crossEntropy(...t)); },
  };
  const gradients = (leaves, forward) => {
    const [y, fwd_comms] = counted(forward);
    const [, bwd_comms] = counted(() => y.backward());
    return { out_placements: y instanceof DTensor ? y.placements.map(text) : null, fwd_comms, bwd_comms,
      grads: leaves.map(({ grad }) => grad instanceof DTensor ? { placements: grad.placements.map(text), local: out(grad.toLocal()) } : out(grad)) };
  };
  const leaf = (whole, p) => at(whole, p).detach().requiresGrad_(true);
  const errors = {
    'err.mixed_tensor_dtensor': () => at(g([8, 6], 1), 'S0').add(torch.ones([8, 6])),
    'err.redistribute_to_partial': () => at(g([8, 6], 1), 'R').redistribute([Partial()]),
    'err.bad_placement_len': () => distributeTensor(g([8, 6]), mesh, [Shard(0), Replicate()]),
    'err.shard_dim_oob': () => distributeTensor(g([8, 6]), mesh, [Shard(3)]),
    'err.two_meshes': () => at(g([8, 6], 1), 'S0').add(lay(g([8, 6], 1), meshOf([1, size]), [Replicate(), Shard(0)])),
    'err.inplace_mul_partial_scalar_add': () => at(g([8, 6], 1), 'P').add_(1),
  };
  const part = () => g([4, 4], 1).requiresGrad_(true);
  const weighted = (y) => y.mul(rank + 1).sum();
  const local = (x, placement, then, options) => gradients([x], () => weighted(then(DTensor.fromLocal(x, mesh, [placement], options))));
  const byHand = {
    'grad.from_local.R': () => { const x = part(); return gradients([x], () => { const d = DTensor.fromLocal(x, mesh, [Replicate()]); return d.mul(d).toLocal().sum(); }); },
    'grad.S0->R.to_local.default': () => local(part(), Shard(0), (d) => d.redistribute([Replicate()]).toLocal()),
    'grad.S0->R.to_local.gradPartial': () => local(part(), Shard(0), (d) => d.redistribute([Replicate()]).toLocal({ gradPlacements: [Partial()] })),
    'grad.P->R.to_local': () => { const x = part(); return gradients([x], () => DTensor.fromLocal(x, mesh, [Partial()]).redistribute([Replicate()]).toLocal().mul(2).sum()); },
    'grad.P->S0.to_local': () => local(part(), Partial(), (d) => d.redistribute([Shard(0)]).toLocal()),
    'grad.R->S0.to_local': () => local(part(), Replicate(), (d) => d.redistribute([Shard(0)]).toLocal()),
    'grad.from_local.R.gradPartial': () => local(part(), Replicate(), (d) => d.redistribute([Shard(0)]).toLocal(), { gradPlacements: [Partial()] }),
    'grad.full_tensor': () => { const x = leaf(g([8, 4], 1), 'S0'); return gradients([x], () => x.fullTensor().pow(2).sum()); },
    'grad.embedding.rowwise': () => {
      const w = leaf(g([8, 4], 1), 'S0');
      const index = at(torch.tensor([[0, 3, 7, 2], [5, 5, 1, 6]]), 'R');
      return gradients([w], () => F.embedding(index, w).redistribute([Replicate()]).sum());
    },
    'loss_parallel.ce': () => dist.lossParallel(() => {
      const x = leaf(g([8, 8], 3), 'S1');
      const [loss, fwd] = counted(() => F.crossEntropy(x, at(torch.tensor([0, 3, 7, 2, 5, 5, 1, 6]), 'R')));
      const [, bwd] = counted(() => loss.backward());
      return { loss: out(loss.toLocal()), lp: loss.placements.map(text), fwd, bwd, grad_pl: x.grad.placements.map(text), grad: out(x.grad.toLocal()) };
    }),
  };
  return golden.map((c) => attempt(() => {
    if (c.name in errors) return run(errors[c.name]);
    if (c.name in byHand) return byHand[c.name]();
    if (c.name === 'ok.inplace_same' || c.name === 'err.inplace_needs_redistribute') {
      const t = [at(g([8, 6], 4), 'S0'), at(g([8, 6], 4), c.name.startsWith('ok') ? 'S0' : 'S1')];
      return run(() => t[0].add_(t[1]));
    }
    const grad = /^grad\\.linear\\.x(\\w+)\\.w(\\w+)$/.exec(c.name);
    if (grad) { const t = [leaf(g([8, 12], 1), grad[1]), leaf(g([4, 12], 2), grad[2])];
      let placements; const got = gradients(t, () => { const y = F.linear(...t); placements = y.placements.map(text); return y.sum(); });
      return { ...got, out_placements: placements }; }
    if (c.name === 'grad.sum.partial_out') { const x = leaf(g([8, 4], 1), 'S0'); return gradients([x], () => x.sum()); }
    const [family, ...rest] = c.name.split('.');
    return programs[family](c, ...rest);
  }));`;
