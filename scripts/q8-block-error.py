"""How much squared error choosing the step and the scale of an int8 block saves.

    python3 scripts/q8-block-error.py

Prints, for several distributions of blocks of 32, the error relative to the plain absolute
maximum / 127: with the least-squares scale alone, with the best of so many steps, and with both
(CKernels/dispatch/gemm_layout.h has the rule, which takes eight). Needs numpy.
"""
import numpy as np

BLOCKS = 40000


def errors(x, steps):
    """Squared errors per block at one step: as rounded, and with the least-squares scale."""
    step = np.abs(x).max(1, keepdims=True) / steps
    quants = np.rint(x / step)
    rest = x / step - quants
    plain = (rest ** 2).sum(1)
    fitted = plain - (quants * rest).sum(1) ** 2 / (quants ** 2).sum(1)
    return plain * step[:, 0] ** 2, fitted * step[:, 0] ** 2


def main():
    random = np.random.default_rng(1)
    shape = (BLOCKS, 32)
    gate = random.normal(size=shape)
    inputs = {
        "Gaussian": random.normal(size=shape),
        "Laplace": random.laplace(size=shape),
        "gated": gate / (1 + np.exp(-gate)) * random.normal(size=shape),
        "Student t, 3": random.standard_t(3, size=shape),
    }
    print("inputs         steps  chosen  and fitted")
    for name, x in inputs.items():
        base = errors(x, 127)[0].mean()
        for count in (1, 4, 8, 16):
            tried = [errors(x, 127 - k) for k in range(count)]
            plain, fitted = (np.array([t[part] for t in tried]) for part in (0, 1))
            best = plain.argmin(0), np.arange(BLOCKS)
            print(f"{name:14} {count:5}  {plain[best].mean() / base:6.3f}"
                  f"  {fitted[best].mean() / base:10.3f}")


if __name__ == "__main__":
    main()
