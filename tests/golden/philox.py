"""The random streams of model/rng.h, written again in Python for the scripts of this folder."""

BOOTSTRAP, SUBSET = 13, 14  # values of rng_purpose
MASK = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011, section 3.3)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & MASK, p0 >> 32 ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


class Stream:
    """The stream of (seed, purpose, index, step)."""

    def __init__(self, seed, purpose, index, step):
        self.key = philox((purpose, 0, 0, 0), (seed & MASK, seed >> 32))[:2]
        self.index, self.step, self.at = index, step, 0

    def u32(self):
        counter = (self.at // 4, self.index & MASK, self.index >> 32, self.step)
        self.at += 1
        return philox(counter, self.key)[(self.at - 1) % 4]

    def below(self, n):
        while True:
            low = self.u32()
            x = self.u32() << 32 | low
            if x >= 2**64 % n:
                return x % n


def subset(seed, index, step, n, count):
    """`count` of 0..n-1 without replacement: the first steps of a Fisher-Yates shuffle."""
    stream, items = Stream(seed, SUBSET, index, step), list(range(n))
    for k in range(count):
        other = k + stream.below(n - k)
        items[k], items[other] = items[other], items[k]
    return items[:count]
