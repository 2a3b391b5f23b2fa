/**
 * PyTorch's parameter names in order, which turn any way of giving arguments into ours.
 * Before the bar: positional in our API too. After it: PyTorch takes them positionally, we in the options object.
 * Keyword-only parameters need no entry. `*name` takes the rest (a list, or several numbers or tensors).
 * Methods share the entry of the function: `input` is the object itself.
 */
const TABLE = `
# creation
arange = start end step
linspace = start end steps
logspace = start end steps base
zeros = *size
ones = *size
empty = *size
rand = *size
randn = *size
full = size fill_value
full_like = input fill_value
eye = n m
tensor = data
new_full = input size fill_value
new_zeros = input *size
new_ones = input *size
new_empty = input *size
new_tensor = input data
tril_indices = row col offset
triu_indices = row col offset
randperm = n
randint = low high size
randint_like = input low high
normal = mean std size
multinomial = input num_samples | replacement
bernoulli = input p
manual_seed = seed
meshgrid = *tensors
# elementwise
add = input other
sub = input other
subtract = input other
rsub = input other
mul = input other
multiply = input other
div = input other
divide = input other
true_divide = input other
floor_divide = input other
remainder = input other
fmod = input other
pow = input exponent
maximum = input other
minimum = input other
fmax = input other
fmin = input other
atan2 = input other
hypot = input other
copysign = input other
xlogy = input other
logaddexp = input other
logaddexp2 = input other
eq = input other
ne = input other
lt = input other
le = input other
gt = input other
ge = input other
logical_and = input other
logical_or = input other
logical_xor = input other
bitwise_and = input other
bitwise_or = input other
bitwise_xor = input other
bitwise_left_shift = input other
bitwise_right_shift = input other
gcd = input other
lcm = input other
lerp = input end weight
addcmul = input tensor1 tensor2
addcdiv = input tensor1 tensor2
clamp = input min max
clip = input min max
nan_to_num = input nan posinf neginf
where = condition input other
isclose = input other | rtol atol equal_nan
allclose = input other | rtol atol equal_nan
equal = input other
isin = elements test_elements
masked_fill = input mask value
masked_select = input mask
masked_scatter = input mask source
logit = input eps
heaviside = input values
# linear algebra
matmul = input other
mm = input mat2
bmm = input mat2
mv = input vec
dot = input other
outer = input vec2
kron = input other
addmm = input mat1 mat2
addmv = input mat vec
baddbmm = input batch1 batch2
einsum = equation *operands
tensordot = a b dims
cdist = x1 x2 | p compute_mode
tril = input diagonal
triu = input diagonal
diag = input diagonal
diagonal = input offset dim1 dim2
trace = input
norm = input p dim | keepdim dtype
# reductions
sum = input dim | keepdim
nansum = input dim | keepdim
mean = input dim | keepdim
nanmean = input dim | keepdim
prod = input dim | keepdim
std = input dim | unbiased keepdim
var = input dim | unbiased keepdim
std_mean = input dim | unbiased keepdim
var_mean = input dim | unbiased keepdim
all = input dim | keepdim
any = input dim | keepdim
amax = input dim | keepdim
amin = input dim | keepdim
argmax = input dim | keepdim
argmin = input dim | keepdim
max = input dim | keepdim
min = input dim | keepdim
median = input dim | keepdim
nanmedian = input dim | keepdim
mode = input dim | keepdim
kthvalue = input k dim | keepdim
quantile = input q dim | keepdim
nanquantile = input q dim | keepdim
logsumexp = input dim | keepdim
count_nonzero = input dim
aminmax = input
cumsum = input dim
cumprod = input dim
cummax = input dim
cummin = input dim
logcumsumexp = input dim
softmax = input dim | dtype
log_softmax = input dim | dtype
softmin = input dim | dtype
sort = input dim | descending stable
argsort = input dim | descending stable
msort = input
topk = input k dim | largest sorted
unique = input | sorted return_inverse return_counts dim
unique_consecutive = input | return_inverse return_counts dim
bincount = input weights minlength
searchsorted = sorted_sequence input
bucketize = input boundaries
nonzero = input
# shape
reshape = input *shape
view = input *shape
expand = input *size
broadcast_to = input size
permute = input *dims
transpose = input dim0 dim1
swapaxes = input dim0 dim1
swapdims = input dim0 dim1
movedim = input source destination
moveaxis = input source destination
squeeze = input dim
unsqueeze = input dim
flatten = input start_dim end_dim
unflatten = input dim sizes
ravel = input
flip = input *dims
roll = input shifts dims
rot90 = input k dims
tile = input *dims
repeat = input *repeats
repeat_interleave = input repeats dim
cat = tensors dim
concat = tensors dim
concatenate = tensors dim
stack = tensors dim
hstack = tensors
vstack = tensors
dstack = tensors
chunk = input chunks dim
split = input split_size_or_sections dim
tensor_split = input indices_or_sections dim
unbind = input dim
narrow = input dim start length
select = input dim index
unfold = input dimension size step
as_strided = input size stride storage_offset
broadcast_tensors = *tensors
broadcast_shapes = *shapes
# indexing
gather = input dim index
scatter = input dim index src
scatter_add = input dim index src
scatter_reduce = input dim index src reduce
index_select = input dim index
index_add = input dim index source
index_copy = input dim index source
index_fill = input dim index value
index_put = input indices values | accumulate
take = input index
take_along_dim = input indices dim
# methods
to = input dtype | non_blocking copy
type_as = input other
copy_ = input src | non_blocking
fill_ = input value
requires_grad_ = input requires_grad
backward = input gradient | retain_graph create_graph inputs
size = input dim
stride = input dim
uniform_ = input from to
normal_ = input mean std
exponential_ = input lambd
geometric_ = input p
cauchy_ = input median sigma
log_normal_ = input mean std
random_ = input from to
bernoulli_ = input p
register_hook = input hook
# nn.functional
F.linear = input weight bias
F.bilinear = input1 input2 weight bias
F.embedding = input weight | padding_idx max_norm norm_type scale_grad_by_freq sparse
F.dropout = input p | training inplace
F.layer_norm = input normalized_shape weight bias eps
F.rms_norm = input normalized_shape weight eps
F.group_norm = input num_groups weight bias eps
F.batch_norm = input running_mean running_var weight bias | training momentum eps
F.gelu = input
F.relu = input | inplace
F.relu6 = input | inplace
F.silu = input | inplace
F.mish = input | inplace
F.selu = input | inplace
F.hardswish = input | inplace
F.elu = input alpha | inplace
F.celu = input alpha | inplace
F.leaky_relu = input negative_slope | inplace
F.hardtanh = input min_val max_val | inplace
F.softplus = input beta threshold
F.threshold = input threshold value | inplace
F.prelu = input weight
F.glu = input dim
F.softmax = input dim | _stacklevel dtype
F.log_softmax = input dim | _stacklevel dtype
F.softmin = input dim | _stacklevel dtype
F.normalize = input p dim eps
F.pad = input pad | mode value
F.one_hot = tensor num_classes
F.cosine_similarity = x1 x2 | dim eps
F.pairwise_distance = x1 x2 | p eps keepdim
F.scaled_dot_product_attention = query key value | attn_mask dropout_p is_causal
F.cross_entropy = input target | weight size_average ignore_index reduce reduction label_smoothing
F.nll_loss = input target | weight size_average ignore_index reduce reduction
F.mse_loss = input target | size_average reduce reduction weight
F.l1_loss = input target | size_average reduce reduction weight
F.smooth_l1_loss = input target | size_average reduce reduction beta
F.huber_loss = input target | reduction delta weight
F.kl_div = input target | size_average reduce reduction log_target
F.binary_cross_entropy = input target | weight size_average reduce reduction
F.binary_cross_entropy_with_logits = input target | weight size_average reduce reduction pos_weight
F.gaussian_nll_loss = input target var | full eps reduction
F.poisson_nll_loss = input target | log_input full size_average eps reduce reduction
F.margin_ranking_loss = input1 input2 target | margin size_average reduce reduction
F.hinge_embedding_loss = input target | margin size_average reduce reduction
F.soft_margin_loss = input target | size_average reduce reduction
F.cosine_embedding_loss = input1 input2 target | margin size_average reduce reduction
F.triplet_margin_loss = anchor positive negative | margin p eps swap size_average reduce reduction
# modules
nn.Linear = in_features out_features | bias device dtype
nn.Bilinear = in1_features in2_features out_features | bias device dtype
nn.Embedding = num_embeddings embedding_dim | padding_idx max_norm norm_type scale_grad_by_freq sparse
nn.LayerNorm = normalized_shape | eps elementwise_affine bias device dtype
nn.RMSNorm = normalized_shape | eps elementwise_affine device dtype
nn.GroupNorm = num_groups num_channels | eps affine device dtype
nn.BatchNorm1d = num_features | eps momentum affine track_running_stats device dtype
nn.Dropout = p | inplace
nn.Softmax = dim
nn.LogSoftmax = dim
nn.GLU = dim
nn.GELU = | approximate
nn.ReLU = | inplace
nn.LeakyReLU = negative_slope | inplace
nn.ELU = alpha | inplace
nn.Softplus = beta threshold
nn.Hardtanh = min_val max_val | inplace
nn.PReLU = | num_parameters init device dtype
nn.Flatten = start_dim end_dim
nn.Unflatten = dim unflattened_size
nn.MultiheadAttention = embed_dim num_heads | dropout bias add_bias_kv add_zero_attn kdim vdim batch_first device dtype
nn.TransformerEncoderLayer = d_model nhead | dim_feedforward dropout activation layer_norm_eps batch_first norm_first bias device dtype
nn.TransformerEncoder = encoder_layer num_layers | norm enable_nested_tensor mask_check
nn.CrossEntropyLoss = | weight size_average ignore_index reduce reduction label_smoothing
nn.NLLLoss = | weight size_average ignore_index reduce reduction
nn.MSELoss = | size_average reduce reduction
nn.L1Loss = | size_average reduce reduction
nn.SmoothL1Loss = | size_average reduce reduction beta
nn.HuberLoss = | reduction delta
nn.KLDivLoss = | size_average reduce reduction log_target
nn.BCELoss = | weight size_average reduce reduction
nn.BCEWithLogitsLoss = | weight size_average reduce reduction pos_weight
# schedulers
lr.StepLR = optimizer step_size | gamma last_epoch
lr.MultiStepLR = optimizer milestones | gamma last_epoch
lr.ConstantLR = optimizer | factor total_iters last_epoch
lr.LinearLR = optimizer | start_factor end_factor total_iters last_epoch
lr.ExponentialLR = optimizer gamma | last_epoch
lr.PolynomialLR = optimizer | total_iters power last_epoch
lr.CosineAnnealingLR = optimizer T_max | eta_min last_epoch
lr.CosineAnnealingWarmRestarts = optimizer T_0 | T_mult eta_min last_epoch
lr.CyclicLR = optimizer base_lr max_lr | step_size_up step_size_down mode gamma
lr.OneCycleLR = optimizer max_lr | total_steps epochs steps_per_epoch pct_start anneal_strategy cycle_momentum base_momentum max_momentum div_factor final_div_factor three_phase last_epoch
lr.ReduceLROnPlateau = optimizer | mode factor patience threshold threshold_mode cooldown min_lr eps
lr.SequentialLR = optimizer schedulers milestones | last_epoch
lr.ChainedScheduler = schedulers
`;

export interface Signature {
  /** Positional in ours. */
  positional: string[];
  /** Positional in PyTorch, options in ours. */
  optional: string[];
  /** The last positional takes the rest. */
  variadic: boolean;
}

const SIGNATURES: ReadonlyMap<string, Signature> = new Map(
  TABLE.split('\n')
    .filter((line) => line.includes('=') && !line.startsWith('#'))
    .map((line) => {
      const [name, params] = line.split('=') as [string, string];
      const [before = '', after = ''] = params.split('|');
      const positional = words(before);
      const variadic = positional.at(-1)?.startsWith('*') ?? false;
      return [
        name.trim(),
        { positional: positional.map((p) => p.replace('*', '')), optional: words(after), variadic },
      ];
    }),
);

function words(text: string): string[] {
  return text.split(' ').filter((word) => word !== '');
}

/** The signature of `torch.X`, `.X`, `F.X`, `nn.X`, `lr.X`; in-place methods share that of the function. */
export function signatureOf(op: string): Signature | undefined {
  const bare = op.startsWith('.') ? op.slice(1) : op.replace(/^torch\./, '');
  return SIGNATURES.get(bare) ?? SIGNATURES.get(bare.replace(/_$/, ''));
}
