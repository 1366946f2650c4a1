"""How an HTML page looks, and the few lines that light a term up wherever it stands."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
.kokuban { font: 16px/1.6 "Noto Sans", "Noto Sans CJK JP", "Hiragino Sans", sans-serif;
  color: #1d2b26; background: #fdfdfb; max-width: 60rem; margin: 1.5rem auto;
  padding: 0 1.5rem 2rem; }
.kokuban h1 { font-size: 1.3rem; font-weight: normal; margin: .5rem 0 .8rem; }
.kokuban h2 { font-size: 1.05rem; color: #2f6f5e; border-bottom: 1px solid #cfdcd6;
  margin: 1.6rem 0 .6rem; }
.kokuban h3 { display: inline; font-size: 1rem; margin: 0; }
.kokuban .reason { display: inline; margin: 0 0 0 .6rem; color: #40514b; }
.kokuban .notes { margin: .4rem 0; padding-left: 1.2rem; color: #40514b; }
.kokuban .symbols { list-style: none; padding: 0; margin: .6rem 0; }
.kokuban .symbols li { display: inline-block; margin-right: 1.6rem; }
.kokuban .shape { color: #7a8a84; font-size: .85em; }
.kokuban ol { padding-left: 1.4rem; }
.kokuban ol > li { margin: 1rem 0; }
.kokuban ol > li::marker { color: #2f6f5e; font-weight: bold; }
.kokuban .lines { border-collapse: collapse; margin: .3rem 0 .3rem .5rem; }
.kokuban .lines td { padding: .25rem .25rem; vertical-align: middle; }
.kokuban .lines .left { text-align: right; }
.kokuban .lines .right { text-align: left; }
.kokuban .lines .shape, .kokuban .lines .why { padding-left: 1.6rem; }
.kokuban .lines .why { color: #40514b; font-size: .92em; }
.kokuban math { font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", math; }
.kokuban .struck { background: linear-gradient(#b3261e, #b3261e) center / 100% 2px
  no-repeat; color: #7a5552; }
.kokuban .checked { margin: .2rem 0 .2rem .5rem; color: #2f6f5e; }
.kokuban .wrong { border-left: 3px solid #b3261e; padding-left: .8rem; color: #5c3a37; }
.kokuban .wrong p { margin: .1rem 0; }
.kokuban [data-term] { border-radius: 3px; }
.kokuban [data-term].lit { background: #ffe28a; }
@media print { .kokuban { max-width: none; } }
"""

SCRIPT: Final = """
for (const page of document.querySelectorAll(".kokuban:not([data-ready])")) {
  page.dataset.ready = "yes";
  const light = on => event => {
    const term = event.target.closest("[data-term]");
    if (!term) return;
    for (const other of page.querySelectorAll("[data-term]"))
      if (other.dataset.term === term.dataset.term) other.classList.toggle("lit", on);
  };
  page.addEventListener("mouseover", light(true));
  page.addEventListener("mouseout", light(false));
}
"""
