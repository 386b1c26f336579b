#!/usr/bin/env python3
"""Makes bound.h: the variational bound of normally distributed data in closed form, and masses of
the normal distribution by scipy, for tests/test_bound.c.

The data are N(m, C) in four dimensions, C = Q diag(lambda) Q. Given x_t, x_0 is normal with mean
m + G (x_t - alpha m) and covariance P = C - alpha G C, G = alpha C (alpha^2 C + (1 - alpha^2))^-1.
The exact denoiser predicts the mean, so its squared error has the expectation diag(P). With that
the expectation of each divergence is a closed form; that of L_0 is an integral over one error a
pixel.
Written from Ho et al. 2020 and Nichol & Dhariwal 2021, without the code under test.
Run from the top: python3 tests/golden/bound.py > tests/golden/bound.h
"""
import numpy
from scipy.integrate import quad
from scipy.special import log_ndtr
from scipy.stats import norm

T, LEVEL = 40, 2 / 2000
Q = numpy.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
MEAN = numpy.array([0.1, -0.2, 0.05, 0.3])
C = Q @ numpy.diag([0.09, 0.04, 0.01, 0.0025]) @ Q
OUTPUT = numpy.array([-1.0, -0.3, 0.4, 1.2])  # the network's second output, by pixel


def linear():
    return numpy.linspace(1e-4, 0.02, T) * 1000 / T


def cosine():
    f = numpy.cos((numpy.arange(T + 1) / T + 0.008) / 1.008 * numpy.pi / 2) ** 2
    return numpy.minimum(1 - f[1:] / f[:-1], 0.999)


def decoder(error, sigma):
    """E of -ln(mass within half a level of the error), the error being N(0, error^2)."""
    def integrand(r):
        mass = norm.cdf((r + LEVEL / 2) / sigma) - norm.cdf((r - LEVEL / 2) / sigma)
        return norm.pdf(r, scale=error) * -numpy.log(mass)
    return 2 * quad(integrand, 0, 7 * error, epsabs=1e-12, epsrel=1e-12, limit=500)[0]


def terms(beta, kind):
    """L_0, L_1 .. L_{T-1}, L_T in nats, summed over the pixels."""
    bar = numpy.cumprod(1 - beta)
    before = numpy.append(1, bar[:-1])
    tilde = (1 - before) / (1 - bar) * beta
    tilde[0] = tilde[1]
    out = []
    for k in range(T):
        alpha = numpy.sqrt(bar[k])
        gain = alpha * C @ numpy.linalg.inv(bar[k] * C + (1 - bar[k]) * numpy.eye(4))
        square = numpy.diag(C - alpha * gain @ C)
        v = {"small": numpy.zeros(4), "large": numpy.ones(4), "learned": (OUTPUT + 1) / 2}[kind]
        sigma2 = numpy.exp(v * numpy.log(beta[k]) + (1 - v) * numpy.log(tilde[k]))
        if k == 0:
            out.append(sum(decoder(numpy.sqrt(e), numpy.sqrt(s)) for e, s in zip(square, sigma2)))
            continue
        a = numpy.sqrt(before[k]) * beta[k] / (1 - bar[k])
        divergence = numpy.log(sigma2 / tilde[k]) - 1 + (tilde[k] + a * a * square) / sigma2
        out.append(divergence.sum() / 2)
    second = numpy.diag(C) + MEAN**2
    out.append((bar[-1] * second - bar[-1] - numpy.log(1 - bar[-1])).sum() / 2)
    return out


def table(numbers):
    lines, line = [], "   "
    for x in numbers:
        text = f" {x:.13g},"
        if len(line) + len(text) > 99:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join(lines + [line])


print("/* Made by tests/golden/bound.py with numpy and scipy. */")
print("/* [linear, cosine][fixed-small, fixed-large, learned][L_0, L_1, ..., L_T] in nats. */")
print("static const double golden_terms[2][3][%d] = {" % (T + 1))
for beta in (linear(), cosine()):
    print("    {")
    for kind in ("small", "large", "learned"):
        print("    {\n%s\n    }," % table(terms(beta, kind)))
    print("    },")
print("};")
print("/* low, high, ln of the mass between them. */")
print("static const double golden_mass[][3] = {")
for low, high in [(-0.5, 0.5), (-1, 3), (0, 1e-3), (5, 5.001), (-8.3, -8.2), (20, 21), (24.9, 25.3),
                  (25.1, 25.2), (30, 30.001), (-40.5, -40), (100, 101), (1000, 1000.01), (-3, -2.999),
                  (-0.0004, 0.0006)]:
    a, b = (-high, -low) if low > 0 else (low, high)  # where log_ndtr has its digits
    mass = log_ndtr(b) + numpy.log1p(-numpy.exp(log_ndtr(a) - log_ndtr(b)))
    print(f"    {{{low!r}, {high!r}, {mass:.14g}}},")
print("};")
