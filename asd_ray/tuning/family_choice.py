"""Which families are searched, in which spaces, and what each of their trials takes of the computer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asd_ray._names import check_name
from asd_ray.errors import AsdRayError
from asd_ray.families import FAMILIES, Family, Resources, Space, family
from asd_ray.families.drawing import first_draw, paper_draw
from asd_ray.families.fixed import fixed_by_family
from asd_ray.families.weights import weights_files
from asd_ray.storage.caches import cache_root
from asd_ray.tuning.config import SearchConfig


def choose_families(
    names: Sequence[str | type], has_gpu: bool, spaces: Mapping[str, Space] | None = None
) -> tuple[list[Family], list[str]]:
    """The families to search, and the names of those that are left out because there is no GPU.

    Without names, a family that needs weights of the user is searched only if one of the `spaces` has some.
    """
    if names and list(names) != ["all"]:
        families = [family(name) for name in dict.fromkeys(names)]
        _check_names(families)
        return families, []
    families = [family(name) for name in FAMILIES]
    if spaces and not names:
        families = [each for each in families if not each.needs_weights or any(spaces[each.name].weights.values())]
    if has_gpu or names:
        return families, []
    suited = [each for each in families if each.resources.suits_cpu]
    return suited, [each.name for each in families if each not in suited]


def _check_names(families: Sequence[Family]) -> None:
    """Raise if a name cannot be a folder of the ledger, or if two classes have the same name."""
    targets: dict[str, str] = {}
    for each in families:
        try:
            check_name("family", each.name)
        except AsdRayError as error:
            raise AsdRayError(f"family {each.target}: {error}") from error
        if each.name in targets:
            raise AsdRayError(
                f"families {targets[each.name]} and {each.target} would both be called {each.name}; rename one of the "
                "classes, or search them in two commands with a --run each"
            )
        targets[each.name] = each.target


def spaces_by_family(
    texts: Sequence[str],
    families: Sequence[Family],
    fixed_params: Mapping[str, Any] | None = None,
    weights: Mapping[str, str] | None = None,
    cache: str | Path | None = None,
) -> dict[str, Space]:
    """The checked space of each family: its own, or the file of a text such as ``idnn=my_space.py``.

    Each has the values of `fixed_params` that apply to its family, and the `weights` that its nets can start from: the
    files of nets, by default those of $ASD_RAY_WEIGHTS. These are read, and refused if they are not what they must be.
    `cache` is that of the search, which notes there what was loaded.
    """
    names = [each.name for each in families]
    files: dict[str, Path] = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign:
            name, path = (names[0] if len(names) == 1 else Path(text).stem), text
        if name not in names:
            raise AsdRayError(f"--space {text}: name its family: --space FAMILY=FILE with one of {', '.join(names)}")
        files[name] = Path(path)
    spaces = {each.name: each.search_space(files.get(each.name)) for each in families}
    for each in families:
        paper_draw(spaces[each.name], each)
    fixed = fixed_by_family(fixed_params or {}, spaces)
    names_of = _weights_by_family(families, weights_files() if weights is None else weights, cache)
    needs = {each.name: each.needs_weights for each in families}
    spaces = {
        name: replace(space, fixed=fixed[name], weights=names_of[name], needs_weights=needs[name])
        for name, space in spaces.items()
    }
    for space in spaces.values():
        first_draw(space)
    return spaces


def check_weights(given: Mapping[str, str | Path], families: Sequence[Family]) -> None:
    """Raise if weights are given for a net that no searched family has."""
    taken = {net for each in families for nets in each.weights.values() for net in nets}
    for net in given:
        if net not in taken:
            has = f"they can be given for {', '.join(sorted(taken))}" if taken else "leave the option out"
            raise AsdRayError(
                f"--weights {net}: {', '.join(each.name for each in families)} cannot start from weights of it; {has}"
            )


def _weights_by_family(
    families: Sequence[Family], files: Mapping[str, str], cache: str | Path | None
) -> dict[str, dict[str, dict[Any, str]]]:
    """For each family `Space.weights`."""
    names: dict[str, dict[str, dict[Any, str]]] = {each.name: {} for each in families}
    for each in families:
        for parameter, nets in each.weights.items():
            if brought := [net for net in nets if net in files]:
                from asd_ray.detectors.encoders.loading import NETS, name_of  # it imports torch

                own = {net: name_of(net, files[net]) for net in brought}
                for net in NETS.keys() & own:
                    _check_encoder(own[net], files[net], cache)
                names[each.name][parameter] = own
    return names


def _check_encoder(name: str, path: str, cache: str | Path | None) -> None:
    """Raise if it cannot be loaded here: each of its trials would fail."""
    from asd_ray.detectors.encoders.embedded import check_encoder
    from asd_ray.features.encoder_sizes import FOLDER

    check_encoder(name, path, str(cache_root(cache) / FOLDER))


def notes_of_weights(config: SearchConfig, families: Sequence[Family]) -> Iterator[str]:
    """How nets start that could have pretrained weights, as far as this search may draw them."""
    for each in families:
        space = spaces_of(config, [each])[each.name]
        first = first_draw(space).params
        for parameter, nets in each.weights.items():
            for net in nets:
                if first.get(parameter) != net and (config.trials == 1 or parameter in space.fixed):
                    continue
                name = space.weights.get(parameter, {}).get(net)
                if name is None and space.needs_weights:
                    continue  # it is never drawn
                how = (
                    f"starts from the pretrained weights {name}"
                    if name
                    else (f"starts at random; --weights {net}=FILE gives it pretrained weights")
                )
                yield f"{each.name}: the net {net} {how}"


def spaces_of(config: SearchConfig, families: Sequence[Family]) -> Mapping[str, Space]:
    """Those of the configuration, else each family's own."""
    return config.spaces or spaces_by_family((), families, config.fixed_params)


def check_fixed_params(config: SearchConfig, families: Sequence[Family], without_gpu: Sequence[str]) -> None:
    """Raise if a fixed value applies only to families that are left out because there is no GPU."""
    spaces = spaces_of(config, families)
    try:
        fixed_by_family(config.fixed_params, {each.name: spaces[each.name] for each in families})
    except AsdRayError as error:
        names = ", ".join(without_gpu)
        raise AsdRayError(f"{error}\nleft out, since they want a GPU: {names}; include them with --families") from error


def resources_of(each: Family, config: SearchConfig, has_gpu: bool) -> Resources:
    """What a trial takes: what the configuration states, else what the family states.

    A family that uses no GPU gets none, and so does every family where there is none.
    """
    default = each.resources
    cpu = default.cpu if config.cpus_per_trial is None else config.cpus_per_trial
    memory = default.memory if config.memory_per_trial is None else config.memory_per_trial
    if config.gpus_per_trial is None:
        return Resources(cpu, default.gpu if has_gpu else 0.0, memory=memory)
    return Resources(cpu, config.gpus_per_trial if default.gpu else 0.0, memory=memory)


def notes_of_resources(config: SearchConfig, families: Sequence[Family]) -> Iterator[str]:
    if config.gpus_per_trial and not any(each.resources.gpu for each in families):
        names = ", ".join(each.name for each in families)
        yield f"--gpus-per-trial changes nothing: no trial of {names} wants a GPU; a detector says so in RESOURCES"
    if config.bfloat16:
        from asd_ray.detectors.parts.training import cpu_has_bfloat16

        if not cpu_has_bfloat16():
            yield "--bfloat16: the processor of this computer does not have it; nets that train here use float32"
