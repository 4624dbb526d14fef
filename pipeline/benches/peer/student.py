"""A step of an autoencoder with distribution matching by a student flow, whose steps are part of it."""

import torch
from torch.func import functional_call
from torch.nn import functional as F

from flow import network_of, shares
from images import Images
from job import Job, adamw, gradients

# Times shared by the points of a step, and the smallest error for which a gradient is computed.
TIMES = 64
SMALLEST = 1e-6
AUTOENCODER = {
    "layers": [256, 256],
    "channels": 1,
    "side": 8,
    "convolutional": False,
}


def at_times(rows, times, noise):
    """Points on the way [K, m, d] at `times` `[K]`, those times [K, 1, 1], and the velocity that leads to `rows` [n, d]."""
    t = times.view(-1, 1, 1)
    rows, noise = rows.view(len(times), -1, rows.shape[1]), noise.view(len(times), -1, rows.shape[1])
    return (1 - t) * noise + t * rows, t, rows - noise


class Student(Job):
    def __init__(self, task, device, mode):
        self.task, self.device = task, device
        self.flow = network_of(task["flow"], device).requires_grad_(False)
        self.student = network_of(task["student"], device)
        self.width = task["student"]["dimensions"]
        images = Images({**AUTOENCODER, "latents": self.width})
        self.model = images.autoencoder().to(device)
        half = len(self.model) // 2
        self.encoder, self.decoder = self.model[:half], self.model[half:]
        self.weights = dict(zip(images.autoencoder_names(), self.model.parameters(), strict=True))
        self.optimiser, recipe = adamw(self.weights.values()), task["optimiser"]
        self.clip = recipe["gradient_clip"]
        self.of_student = torch.optim.AdamW(
            self.student.parameters(),
            lr=recipe["learning_rate"],
            betas=recipe["betas"],
            weight_decay=recipe["weight_decay"],
            fused=True,
        )
        self.images = torch.randn(task["images"], 1, 8, 8, device=device)
        self.terms, self.student_loss = mode.compile(self.both), mode.compile(self.error)
        self.how = "times shared by groups, fused AdamW, the student's weights frozen where its input has a gradient"

    def both(self, times, noise):
        """Reconstruction and matching term, whose value and gradient differ, and the latents."""
        z = self.encoder(self.images)
        reconstruction = F.mse_loss(self.decoder(z), self.images)
        x, t, target = at_times(z.repeat(self.task["draws"], 1), times, noise)
        error = self.teacher(x, t) - target
        frozen = {name: weight.detach() for name, weight in self.student.named_parameters()}
        other = error + functional_call(self.student, frozen, (x, t))
        less = error.square() - other.square()
        size = error.detach().abs().mean(2, keepdim=True).clamp_min(SMALLEST)
        along = 0.5 * (less / size).mean()
        return reconstruction, along - along.detach() + less.mean().detach(), z

    def teacher(self, x, t):
        """The flow's velocity, of two points side by side in each row."""
        points = x.reshape(len(x), -1, self.task["flow"]["dimensions"])
        return self.flow(points, t).view_as(x)

    def error(self, z, times, noise):
        x, t, target = at_times(z, times, noise)
        return (self.student(x, t) - (target - self.teacher(x, t))).square().sum() / len(z)

    def learn(self, z, times, noise):
        self.of_student.zero_grad(set_to_none=True)
        self.student_loss(z, times, noise).backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.clip, foreach=True)
        self.of_student.step()

    def draws(self, count):
        return shares(TIMES, self.device), torch.randn(count, self.width, device=self.device)

    def step(self):
        rows = len(self.images)
        self.optimiser.zero_grad(set_to_none=True)
        reconstruction, term, z = self.terms(*self.draws(self.task["draws"] * rows))
        (reconstruction + self.task["weight"] * term).backward()
        self.optimiser.step()
        z = z.detach()
        for _ in range(self.task["student_steps"]):
            self.learn(z, *self.draws(rows))

    def show(self, shown):
        self.flow.load_state_dict(shown.tensors("flow"))
        self.student.load_state_dict(shown.tensors("student"))
        model, given = shown.tensors("model"), shown.given
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(model[name])
            self.images.copy_(given["images"].view_as(self.images))
            z = self.encoder(self.images)
        drawn = lambda name: (given[f"{name}.times"], given[f"{name}.noise"])
        for number in range(sum(name.startswith("learning") for name in given) // 2):
            self.learn(z, *drawn(f"learning.{number}"))
        reconstruction, term, _ = self.terms(*drawn("draws"))
        loss = reconstruction + term
        return {"loss": loss.view(1), "term": term.view(1)}, gradients(loss, self.weights)
