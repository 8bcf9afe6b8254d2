"""The reference of bench_nets: every family's net and training step in plain PyTorch, as authors write it.

float32, contiguous, eager, Adam without fused kernels; layers of PyTorch where asd_ray has its own; one step on ready
inputs. It runs in a process of its own, so that nothing that asd_ray sets for a process helps it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, cross_entropy, mse_loss, normalize

from asd_ray.detectors.families import aegan_ad, anogan, ganomaly
from asd_ray.detectors.nets.complex import ComplexConv, ComplexEncoder
from asd_ray.detectors.nets.dcgan import ImageNorm
from asd_ray.detectors.nets.dual_branch import SpectrogramNet, SpectrumNet
from asd_ray.detectors.nets.glow import Glow
from asd_ray.detectors.nets.maf import MAF
from asd_ray.detectors.nets.mobilefacenet import MobileFaceNet
from asd_ray.detectors.nets.mobilenet_v2 import MobileNetV2
from asd_ray.detectors.nets.prelu import PReLU
from asd_ray.detectors.nets.resnet import ResNet50
from asd_ray.detectors.nets.tgram import Tgram
from asd_ray.detectors.parts.heads import ArcFace, SubClusterAdaCos, divergence

Inputs = dict[str, Tensor]
Step = Callable[[], object]
LATENT = 100


def serve(pipe: Connection, name: str, inputs: Inputs, classes: int, threads: int) -> None:
    """Answer every message, whether Adam may use foreach, with the wall and processor seconds of one step."""
    torch.set_num_threads(threads)
    steps = {foreach: BUILDERS[name](inputs, classes, foreach) for foreach in (False, True)}
    pipe.send("ready")
    while (foreach := pipe.recv()) is not None:
        started = time.perf_counter(), time.process_time()
        steps[foreach]()
        pipe.send((time.perf_counter() - started[0], time.process_time() - started[1]))


def plain(net: nn.Module) -> nn.Module:
    """The net with PyTorch's own layers, contiguous."""
    for name, child in net.named_children():
        if isinstance(child, PReLU):
            setattr(net, name, nn.PReLU(child.num_parameters))
        elif isinstance(child, ImageNorm):
            setattr(net, name, nn.LayerNorm(child.normalized_shape))
        elif isinstance(child, ComplexConv):
            setattr(net, name, _FourConvolutions(child))
        elif isinstance(child, aegan_ad.Depthwise):
            channels = len(child.weight)
            setattr(net, name, nn.Sequential(nn.Conv2d(channels, channels, 4, groups=channels), nn.Flatten()))
        else:
            plain(child)
    return net.to(memory_format=torch.contiguous_format).train()  # type: ignore[call-overload,no-any-return]


class _FourConvolutions(nn.Module):
    """A complex convolution as DCCRN writes it: four real ones."""

    def __init__(self, ours: ComplexConv) -> None:
        super().__init__()
        self.real, self.imaginary = ours.real, ours.imaginary
        self.stride, self.padding = ours.stride, ours.padding

    def forward(self, images: Tensor) -> Tensor:
        real, imaginary = images.chunk(2, 1)

        def convolved(x: Tensor, layer: nn.Conv2d) -> Tensor:
            return conv2d(x, layer.weight, stride=self.stride, padding=self.padding)

        to_real = convolved(real, self.real) - convolved(imaginary, self.imaginary)
        to_imaginary = convolved(real, self.imaginary) + convolved(imaginary, self.real)
        return torch.cat([to_real, to_imaginary], 1)


def _adam(foreach: bool, *nets: nn.Module, beta1: float = 0.9, lr: float = 1e-4) -> torch.optim.Adam:
    parameters = [weight for net in nets for weight in net.parameters() if weight.requires_grad]
    return torch.optim.Adam(parameters, lr, (beta1, 0.999), foreach=foreach)


def _minimise(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()


def _stgram(inputs: Inputs, classes: int, foreach: bool) -> Step:
    tgram, net, head = Tgram(), plain(MobileFaceNet(2)), ArcFace(128, classes)
    adam = _adam(foreach, tgram, net, head)

    def step() -> None:
        images = torch.stack([inputs["spectrograms"], tgram(inputs["waves"])], 1)
        _minimise(adam, cross_entropy(head.logits(normalize(net(images)), inputs["labels"]), inputs["labels"]))

    return step


def _complex(inputs: Inputs, classes: int, foreach: bool) -> Step:
    net, heads = plain(ComplexEncoder(45, 4)), nn.ModuleList(nn.Linear(4, classes) for _ in range(3))
    adam = _adam(foreach, net, heads)

    def step() -> None:
        features = net(inputs["images"]).chunk(3, 1)
        losses = [cross_entropy(head(part), inputs["labels"]) for head, part in zip(heads, features, strict=True)]
        _minimise(adam, torch.stack(losses).sum())

    return step


def _classifier(build: Callable[[], MobileNetV2 | ResNet50]) -> Callable[[Inputs, int, bool], Step]:
    def builder(inputs: Inputs, classes: int, foreach: bool) -> Step:
        net = build()
        head = nn.Linear(net.width, 3 * classes)
        adam = _adam(foreach, plain(net), head)
        return lambda: _minimise(adam, cross_entropy(head(net(inputs["images"])), inputs["labels"]))

    return builder


def _dual_branch(inputs: Inputs, classes: int, foreach: bool) -> Step:
    waves, window = inputs["waves"], torch.hann_window(1024)
    soft = nn.functional.one_hot(inputs["labels"], classes).float()
    spectrum_net, spectrogram_net = plain(SpectrumNet(waves.shape[1] // 2)), plain(SpectrogramNet(513))
    head = SubClusterAdaCos(256, classes)
    adam = _adam(foreach, spectrum_net, spectrogram_net)

    def step() -> None:
        weights = torch.rand(len(waves), 1)
        mixed = weights * waves + (1 - weights) * waves[torch.randperm(len(waves))]
        with torch.no_grad():
            spectra = torch.fft.rfft(mixed)[:, : waves.shape[1] // 2].abs()
            frames = (
                torch.stft(mixed, 1024, 512, window=window, center=False, return_complex=True).abs().transpose(1, 2)
            )
            frames = frames - frames.mean(1, keepdim=True)
        embedding = torch.cat([spectrum_net(spectra), spectrogram_net(frames)], 1)
        _minimise(adam, divergence(head.logits(embedding, soft), soft))

    return step


def _aegan(inputs: Inputs, classes: int, foreach: bool) -> Step:
    """As the authors' program: the generator rebuilds once for the critic's step and once for its own."""
    real, nets = inputs["images"], aegan_ad.Nets(32, 256, "layer", True)
    plain(nets)
    for_critic = _adam(foreach, nets.critic, beta1=0.5)
    for_generator = _adam(foreach, nets.encoder, nets.decoder, beta1=0.5)

    def step() -> None:
        fake = nets.rebuild(real).detach()
        penalty = aegan_ad.gradient_penalty(nets.critic, real, fake, torch.rand(len(real), 1, 1, 1))
        _minimise(for_critic, nets.critic(fake).mean() - nets.critic(real).mean() + 10 * penalty)
        rebuilt = nets.rebuild(real)
        features = nets.critic.features(rebuilt), nets.critic.features(real)
        _minimise(for_generator, mse_loss(rebuilt, real) + 0.1 * aegan_ad.matching_loss(*features, "mean"))

    return step


def _ganomaly(inputs: Inputs, classes: int, foreach: bool) -> Step:
    """As the authors' program: the generator's step makes gradients of the discriminator's weights too."""
    real, nets = inputs["images"], ganomaly.Nets(64, LATENT)
    plain(nets)
    adams = [_adam(foreach, net, beta1=0.5) for net in (nets.generator, nets.discriminator)]

    def step() -> None:
        rebuilt, code, again = nets.generator(real)
        logits = nets.discriminator(real), nets.discriminator(rebuilt.detach())
        adversarial = mse_loss(nets.discriminator.features(rebuilt), nets.discriminator.features(real))
        loss = adversarial + 50 * (rebuilt - real).abs().mean() + mse_loss(again, code)
        _minimise(adams[0], loss)
        targets = torch.ones_like(logits[0]), torch.zeros_like(logits[1])
        losses = [binary_cross_entropy_with_logits(*pair) for pair in zip(logits, targets, strict=True)]
        _minimise(adams[1], (losses[0] + losses[1]) / 2)

    return step


def _anogan(inputs: Inputs, classes: int, foreach: bool) -> Step:
    """As PyTorch's example of DCGAN, but real and generated images in one backward pass."""
    real, nets = inputs["images"], anogan.Nets(64, LATENT)
    plain(nets)
    adams = [_adam(foreach, net, beta1=0.5) for net in (nets.generator, nets.discriminator)]

    def step() -> None:
        fake = nets.generate(torch.randn(len(real), LATENT))
        logits = nets.discriminator(real), nets.discriminator(fake.detach())
        targets = torch.ones_like(logits[0]), torch.zeros_like(logits[1])
        losses = [binary_cross_entropy_with_logits(*pair) for pair in zip(logits, targets, strict=True)]
        _minimise(adams[1], (losses[0] + losses[1]) / 2)
        _minimise(adams[0], binary_cross_entropy_with_logits(nets.discriminator(fake), targets[0]))

    return step


def _flow(kind: str) -> Callable[[Inputs, int, bool], Step]:
    def builder(inputs: Inputs, classes: int, foreach: bool) -> Step:
        images, labels = inputs["images"], inputs["labels"][:, None]
        net: Glow | MAF
        if kind == "glow":
            net = Glow(*images.shape[2:], classes=classes, width=32, steps=4, levels=3)
            net.initialise(images)
        else:
            net = MAF(images.shape[1], classes=classes, hidden=512, blocks=4)
        adam, ids = _adam(foreach, net), torch.cat([labels, (labels + 1) % classes], 1)

        def step() -> None:
            densities = net.log_prob(images, ids) / images[0].numel()
            own, other = densities.unbind(1)
            _minimise(adam, -own.mean() + (0.5 - own + other).relu().mean())

        return step

    return builder


BUILDERS: dict[str, Callable[[Inputs, int, bool], Step]] = {
    "stgram": _stgram,
    "complex_net": _complex,
    "id_classifier mobilenet_v2": _classifier(MobileNetV2),
    "id_classifier resnet50": _classifier(ResNet50),
    "embedding_knn": _dual_branch,
    "aegan_ad": _aegan,
    "ganomaly": _ganomaly,
    "anogan": _anogan,
    "flow_aff glow": _flow("glow"),
    "flow_aff maf": _flow("maf"),
}
