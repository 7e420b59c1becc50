"""All committed figures by name."""

from figures.architecture import draw_architecture
from figures.bayes_samples import draw_bayes
from figures.entry import Entry
from figures.growth import draw_growth
from figures.histograms import draw_histograms
from figures.latent_maps import draw_latent
from figures.losses import draw_training
from figures.operating import draw_roc_and_pr
from figures.qualitative import draw_qualitative
from figures.tables import draw_ablation, draw_comparison
from figures.video_curves import draw_videos

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
    "growth": draw_growth,
}
