import torch, tasks
from model import sample
def quick(model, n=100):
    out={}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for f in tasks.FAMILIES:
            ps=tasks.problems(f,"quick",n,split="valid"); prompts=[p.prompt for p in ps]
            for t in (0,0.8):
                s=sample(model,prompts,t,1); out[f"{f}@{t}"]=round(sum(tasks.check(p,c) for p,c in zip(ps,s))/n,3)
    return out
