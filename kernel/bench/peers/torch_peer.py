"""PyTorch on this machine's CPU, one thread per rank: prints one JSON line. Modes: tensors | dtensor | collectives WORLD."""
import json, os, statistics, sys, tempfile, time
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F


def median_ms(work, runs=7, warmup=2):
    samples = []
    for i in range(-warmup, runs):
        start = time.perf_counter()
        work()
        if i >= 0:
            samples.append(time.perf_counter() - start)
    return statistics.median(samples) * 1e3


def fastest_ms(work, runs=5, budget_ms=700, warmup=3):
    for _ in range(warmup):
        work()
    best, i, end = float("inf"), 0, time.perf_counter() + budget_ms / 1e3
    while i < runs or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best, i = min(best, time.perf_counter() - start), i + 1
    return best * 1e3


class Transformer(torch.nn.Module):
    """The twin of kernel/bench/training-step.ts."""

    def __init__(self, vocabulary=10_000, width=512, heads=8, layers=3, hidden=2048, positions=1024):
        super().__init__()
        self.tok = torch.nn.Embedding(vocabulary, width)
        self.pos = torch.nn.Embedding(positions, width)
        block = lambda: torch.nn.TransformerEncoderLayer(width, heads, hidden, dropout=0.0, batch_first=True)
        self.layers = torch.nn.ModuleList(block() for _ in range(layers))
        self.out = torch.nn.Linear(width, vocabulary)

    def forward(self, ids):
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


def training_step_ms():
    torch.manual_seed(0)
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids, targets = (torch.randint(0, 10_000, (4, 128)) for _ in range(2))

    def step():
        loss = F.cross_entropy(model(ids).view(-1, 10_000), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return fastest_ms(step, runs=3, warmup=2)


def tensors():
    torch.set_num_threads(1)
    out = {}
    for n in (256, 512, 1024):
        a, b = torch.randn(n, n), torch.randn(n, n)
        out[f"matmul{n}Ms"] = fastest_ms(lambda: a @ b)
    x = torch.randn(512, 2048)
    w, c = torch.randn(2048), torch.randn(2048)
    out["softmaxMs"] = fastest_ms(lambda: F.softmax(x, -1))
    out["layerNormMs"] = fastest_ms(lambda: F.layer_norm(x, [2048], w, c))
    out["geluMs"] = fastest_ms(lambda: F.gelu(x))
    p = torch.randn(1 << 20, requires_grad=True)
    p.grad = torch.randn(1 << 20)
    optimizer = torch.optim.AdamW([p], lr=1e-3)
    out["adamWMs"] = fastest_ms(optimizer.step)
    q, k, v = (torch.randn(1, 8, 512, 64, requires_grad=True) for _ in range(3))
    g = torch.randn(1, 8, 512, 64)

    def attention():
        q.grad = k.grad = v.grad = None
        F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(g)

    out["attentionMs"] = fastest_ms(attention)
    out["trainingStepMs"] = training_step_ms()
    print(json.dumps(out))


def rank_main(rank, world, store, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(store, world), rank=rank, world_size=world)
    out = {}
    for _ in range(20):
        dist.barrier()
    out["barrierMs"] = median_ms(dist.barrier, runs=200, warmup=0)
    for name, size in (("4KiB", 4 << 10), ("16MiB", 16 << 20), ("64MiB", 64 << 20)):
        t = torch.ones(size // 4)
        runs, warmup = (200, 50) if size < 1 << 20 else (11, 5)
        dist.barrier()
        out[f"allReduce{name}Ms"] = median_ms(lambda: dist.all_reduce(t), runs=runs, warmup=warmup)
    if rank == 0:
        queue.put(out)
    dist.barrier()


def collectives(world):
    queue = mp.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        context = mp.spawn(rank_main, args=(world, os.path.join(folder, "store"), queue), nprocs=world, join=False)
        print(json.dumps(queue.get()), flush=True)
        context.join()


def dtensor():
    """Microseconds that DTensor adds to small operations that move nothing."""
    from torch.distributed.tensor import DTensor, Replicate, Shard, init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore
    torch.set_num_threads(1)
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    mesh = init_device_mesh("cpu", (2,))
    parts = torch.ones(8, 8) * 1e-30, torch.ones(8, 8)
    both = DTensor.from_local(parts[0], mesh, [Shard(0)]), DTensor.from_local(parts[1], mesh, [Replicate()])
    ops = {"add": lambda x, w: x + x, "mulScalar": lambda x, w: x * 2, "relu": lambda x, w: x.relu(),
           "mm": lambda x, w: x.mm(w), "view": lambda x, w: x.view(-1, 4, 8), "transpose": lambda x, w: x.t(),
           "sum": lambda x, w: x.sum(1), "softmax": lambda x, w: x.softmax(1), "addInPlace": lambda x, w: x.add_(x)}

    def micros(op, tensors):
        start = time.perf_counter()
        for _ in range(400):
            op(*tensors)
        return (time.perf_counter() - start) / 400 * 1e6

    out = {}
    for name, op in ops.items():
        rounds = [(micros(op, parts), micros(op, both)) for _ in range(17)][2:]
        out[name] = statistics.median(b - a for a, b in rounds)
    print(json.dumps(out))


if __name__ == "__main__":
    if sys.argv[1] == "dtensor":
        dtensor()
        sys.exit(0)
    tensors() if sys.argv[1] == "tensors" else collectives(int(sys.argv[2]))
