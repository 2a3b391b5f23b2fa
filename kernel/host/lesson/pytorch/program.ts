/** The Python program that runs twins: what they find at hand, and what of them is kept. */
export const PROGRAM = `import builtins, io, json, os, sys, traceback, warnings
warnings.filterwarnings('ignore')
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.distributed.device_mesh import init_device_mesh

folder = sys.argv[1]
rank, world_size = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
torch.set_num_threads(1)
dist.init_process_group('gloo', init_method='file://' + os.path.join(folder, 'meet'), rank=rank, world_size=world_size)
prints = []
shown = builtins.print

def keep(*values, file=None, **options):
    if file not in (None, sys.stdout):
        return shown(*values, file=file, **options)
    text = io.StringIO()
    shown(*values, file=text, **options)
    prints.append(text.getvalue())

builtins.print = keep
space = dict(__name__='__main__', torch=torch, dist=dist, nn=nn, F=F, optim=optim, rank=rank,
             world_size=world_size, init_device_mesh=init_device_mesh)
with open(os.path.join(folder, 'twins.json')) as file:
    twins = json.load(file)
with open(os.path.join(folder, 'rank-%d.jsonl' % rank), 'w') as results:
    for twin in twins:
        prints.clear()
        result = {}
        try:
            exec(compile(twin['source'], twin['name'], 'exec'), space)
        except BaseException:
            lines = traceback.format_exc().split('\\n')
            result['error'] = '\\n'.join(line for line in lines if 'program.py' not in line)
        result['prints'] = list(prints)
        results.write(json.dumps(result) + '\\n')
        results.flush()
dist.barrier()
os._exit(0)
`;
