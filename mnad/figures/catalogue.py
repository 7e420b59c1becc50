"""All committed figures by name."""

from mnad.figures.architecture import draw_architecture
from mnad.figures.bayes import draw_bayes
from mnad.figures.curves import draw_training
from mnad.figures.entry import Entry
from mnad.figures.histograms import draw_histograms
from mnad.figures.latent import draw_latent
from mnad.figures.operating import draw_roc_and_pr
from mnad.figures.qualitative import draw_qualitative
from mnad.figures.tables import draw_ablation, draw_comparison
from mnad.figures.videos import draw_videos

CATALOGUE: dict[str, Entry] = {
    "architecture": draw_architecture,
    "training": draw_training,
    "histograms": draw_histograms,
    "roc_pr": draw_roc_and_pr,
    "qualitative": draw_qualitative,
    "ablation": draw_ablation,
    "comparison": draw_comparison,
    "ped2": draw_videos,
    "latent": draw_latent,
    "bayes": draw_bayes,
}
