"""Which dance style each known take shows, as seen on contact sheets of all of them; corpus.md has the list."""

from __future__ import annotations

from ..styles import STYLES

_TAKES: dict[str, tuple[str, ...]] = {
    "street": (
        "B_LongDance", "J_Dance3_Woah", "J_Dance5_Hype", "J_Dance8_WestCoast", "J_Dance9_PeaceMaker",
        "J_Dance11_Gnarly", "J_Dance17_Shuffle", "J_Dance18_TikTok", "J_Dance20_DWG", "J_Dance21_Blunt",
    ),
    "pop": (
        "B_DadDance", "B_WiggleDance", "J_Dance0_StepTouch", "J_Dance4_Broadway", "J_Dance6_Sassy", "J_Dance7_Party",
        "J_Dance12_LushLife", "J_Dance19_LetsGO", "J_Dance23_MidnightSun", "J_ShortDance14_Disco",
        "J_ShortDance15_Nineties", "J_ShortDance16_JazzWalk", "131_01", "131_02", "131_03",
    ),
    "salsa": ("J_Dance2_Salsa",),
    "modern": ("B_SpiralDance", "B_StretchDance", "J_Dance1_Modern"),
}  # fmt: skip

_ARCHIVES: dict[str, str] = {
    "cmu_salsa": "salsa",
    "cmu_indian": "indian",
    "cmu_modern": "modern",
    "cmu_martial": "martial",
    "g1_karate": "martial",
}


def style_of(archive: str, take: str) -> str | None:
    """Return the style of a take by its name, or by that of its file or folder; None where neither is known."""
    for style, takes in _TAKES.items():
        if take in takes:
            return style
    return _ARCHIVES.get(archive) or next((style for style in STYLES if style in archive), None)


def ordered_styles(names: set[str]) -> list[str]:
    """Return the styles in the order in which the network knows them: ours first, then others by name."""
    return [name for name in STYLES if name in names] + sorted(names - set(STYLES))
