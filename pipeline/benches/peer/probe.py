"""The linear probe: multinomial logistic regression by PyTorch's L-BFGS on all points at once, in f64.

In f32 its line search stalls before the gradient is small enough.
"""

import torch
from torch.nn import functional as F

from job import Job


class Probe(Job):
    TOLERANCE = 1e-5
    MEMORY = 20
    MOST = 5000

    def __init__(self, task, device, mode):
        of = task["of"]
        self.l2, self.classes = of["l2"], of["classes"]
        self.points = torch.randn(of["rows"], of["width"], device=device, dtype=torch.float64)
        self.labels = torch.zeros(of["rows"], dtype=torch.long, device=device)
        self.loss = mode.compile(self.penalised)
        self.how = "LBFGS, strong Wolfe, f64"

    def penalised(self, weight, bias):
        scores = F.linear(self.points, weight, bias)
        return F.cross_entropy(scores, self.labels) + 0.5 * self.l2 * weight.square().sum()

    def fit(self):
        weight = torch.zeros(self.classes, self.points.shape[1], dtype=torch.float64, device=self.points.device, requires_grad=True)
        bias = torch.zeros(self.classes, dtype=torch.float64, device=self.points.device, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [weight, bias],
            max_iter=self.MOST,
            max_eval=2 * self.MOST,
            tolerance_grad=self.TOLERANCE,
            tolerance_change=0.0,
            history_size=self.MEMORY,
            line_search_fn="strong_wolfe",
        )

        def closure():
            optimiser.zero_grad(set_to_none=True)
            loss = self.loss(weight, bias)
            loss.backward()
            return loss

        optimiser.step(closure)
        return weight.detach()

    def step(self):
        self.fit()

    def show(self, shown):
        given = shown.given
        self.points.copy_(given["points"])
        self.labels.copy_(given["labels"].long())
        return {"weights": self.fit()}, {}
