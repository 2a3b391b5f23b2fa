"""PyTorch FSDP2 on gloo, one thread per rank: the twin of lessons/scripts/train-transformer.ts. Prints one JSON line.

usage: torch_fsdp.py WORLD STEPS
"""
import json, os, statistics, sys, tempfile, time, warnings

BEGIN = time.perf_counter()
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn

VOCABULARY = 10_000
warnings.filterwarnings("ignore")


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok, self.pos = nn.Embedding(VOCABULARY, 512), nn.Embedding(1024, 512)
        layer = lambda: nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.0, batch_first=True)
        self.layers = nn.ModuleList(layer() for _ in range(3))
        self.out = nn.Linear(512, VOCABULARY)

    def forward(self, ids):
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


def rank_main(rank, world, steps, folder):
    warnings.filterwarnings("ignore")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(os.path.join(folder, "store"), world), rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world,))
    torch.manual_seed(0)
    model = Transformer()
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    torch.manual_seed(100 + rank)
    ids, targets = (torch.randint(0, VOCABULARY, (4, 128)) for _ in range(2))
    seconds, losses = [], []
    for _ in range(steps):
        begin = time.perf_counter()
        loss = nn.functional.cross_entropy(model(ids).view(-1, VOCABULARY), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
    if rank == 0:
        with open(os.path.join(folder, "result"), "w") as out:
            json.dump({"secondsPerStep": statistics.median(seconds), "losses": losses}, out)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    world, steps = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(rank_main, (world, steps, folder), nprocs=world)
        result = json.load(open(os.path.join(folder, "result")))
    print(json.dumps(result))
