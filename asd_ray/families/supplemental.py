"""The parameters that use supplemental clips, and why one has no effect on clips of which there are none.

The kinds are those of `clips.table`: "machine" is clean sound of the machine, "noise" is noise without it.
"""

from __future__ import annotations

from collections.abc import Mapping

ANY = ("machine", "noise")
# parameter -> the kinds of clips that it uses; one of them is enough
USES: Mapping[str, tuple[str, ...]] = {
    "noise_mix": ("noise",),
    "subtract_noise": ("noise",),
    "supplemental_class": ANY,
    "supplemental_bank": ANY,
}
WORDS = {ANY: "supplemental clips", ("noise",): "supplemental clips of noise"}


def without_effect(counts: Mapping[str, int]) -> list[str]:
    """The parameters that have no effect on machines with so many supplemental clips of each kind."""
    return [name for name, kinds in USES.items() if not any(counts.get(kind) for kind in kinds)]


def why_without_effect(params: Mapping[str, object], counts: Mapping[str, int] | None) -> str:
    """Why a detector with these parameters does not suit such machines, for its `suits`; "" if it does.

    `counts` is None where the supplemental clips are not known.
    """
    for name in without_effect(counts) if counts is not None else ():
        if value := params.get(name):
            return (
                f"{name} = {value} needs {WORDS[USES[name]]}, and there are none of these machines; leave it out, or "
                "add such clips in the folder supplemental/ of each machine"
            )
    return ""
