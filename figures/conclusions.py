"""What follows from each committed figure, written by hand; ``tests/figures/test_conclusions.py`` checks each number.

The texts are about the results stored in this folder. A figure of other results has no conclusion.
"""

CONCLUSIONS = {
    "model/architecture": (
        "The reconstruction variant has 270,499 weights and no skip: everything that reaches the decoder has passed "
        "the bottleneck of 24 queries. These are joined with what the memory returns, not replaced by it, so the "
        "decoder can bypass the memory. The prediction variant (246,787 weights at the same size) has skips as well. "
        "Loss weights: compactness 0.01, separateness 0.01."
    ),
    "synthetic/training": (
        "No sign of overfitting: after 15 epochs the pixel error is 0.0026 in training and 0.0028 on validation "
        "normals (1.08 times as much). The validation error fell from 0.0112 to its lowest, 0.0028, in epoch 15. The "
        "memory is in use: 8.7 effective items, 0 never nearest."
    ),
    "synthetic/histograms": (
        "The nuisances separate the two scores: `wells` flags 23 of 60, `mnad` 52. Of the 240 plain normals `wells` "
        "flags 9 and `mnad` 1. Both find most spills: `wells` 43 of 45 overflows and 15 of 15 empty wells, `mnad` 44 "
        "and 12."
    ),
    "synthetic/roc_pr": (
        "MNAD with `wells` is ahead on both curves: AUROC 0.982 [0.970, 0.991] and average precision 0.919; at its own "
        "threshold TPR 0.967 and TNR 0.893. The autoencoder with `wells` has AUROC 0.906 [0.869, 0.940] and average "
        "precision 0.542; TPR 0.833 and TNR 0.850. MNAD with the paper's score has AUROC 0.872 [0.836, 0.902] and "
        "average precision 0.407; TPR 0.933 and TNR 0.823."
    ),
    "synthetic/qualitative": (
        "The verdict is wrong for 3 of these 8 wells, each the hardest of its group: a bright plain normal (1.07), a "
        "bar (2.07) and an overflow (0.90). The size of the error alone would take nuisances for spills: the mean "
        "squared error of the typical nuisance is 18.1 times that of the typical plain normal, of the overflow 10.9 "
        "times, of the empty well 4.6 times. Every query reads a mixture of the items: the nearest one weighs between "
        "0.184 and 0.256, where an even share is 0.100. At 100 % of the positions all 8 wells have the same nearest "
        "item, so the items stand for places in the image more than for states of the well."
    ),
    "ablation/ablation": (
        "The paper's score misses 21.4 % of the spills and flags 22.7 % of the normals. 7 of the 14 steps keep both "
        "rates within 5 %: the larger of wall hue and glitter, whichever rule chooses its threshold, the sum of the "
        "two, and the two with the median error as a third term. The shipped score `wells` has the lowest worse rate: "
        "0.0 % missed, 0.4 % flagged."
    ),
    "baselines/comparison_auroc": (
        "The score does the work. With `wells` the 6 models and the shipped detector have an AUROC from 0.9951 (PCA) "
        "to 0.9995, the mean training image 0.9994; MNAD with the paper's score has 0.9355. Of the 14 rows without "
        "`wells` 3 have TPR and TNR above 0.95 at a threshold that saw no test image: the ensemble with a memory of "
        "its own (0.9996 [0.9989, 1.0000], by MNAD's two terms alone), its 3 members alone (0.9995), and the control "
        "without a network or a colour axis, `whitened_mean` (0.9981, TPR 1.000, TNR 0.965)."
    ),
    "ped2/curves_pred": (
        "Frame AUC over all 1962 scored frames: 94.40 % with the paper's score, 97.48 % with `peak`. Of the 8 videos "
        "with both kinds of frames, the paper's score is best on video 02 (100.00 %) and worst on video 06 (90.63 %). "
        "The other 4 videos hold abnormal frames only; they count in the AUC over all frames alone."
    ),
    "ped2/causal_pred": (
        "At the threshold 0.628, which 5 % of the frames of the training videos reach, 85.7 % of the abnormal frames "
        "are found and 4.1 % of the normal ones flagged; frame AUC on this one scale 95.66 %. Video 10 is found least "
        "(39.7 %); 11 of the 14 false alarms are in video 12."
    ),
    "ped2/curves_recon": (
        "Frame AUC over all 2010 scored frames: 88.34 % with the paper's score, 87.08 % with `peak`. Of the 8 videos "
        "with both kinds of frames, the paper's score is best on video 03 (100.00 %) and worst on video 01 (59.17 %). "
        "The other 4 videos hold abnormal frames only; they count in the AUC over all frames alone."
    ),
    "scale/growth": (
        "Cost grows with the number of photographs (exponent 0.95: the start counts less and less) and with the pixels "
        "of an image (0.94). From width 8 to 32 an image costs 7.1 times as much, exponent 1.42 where the number of "
        "products has 2: wide layers fill the processor better. From 10 to 1000 items it costs 1.36 times as much."
    ),
    "latent/images": (
        "Spills lie near each other without forming a group of their own: of the ten images nearest to a spill 58.2 % "
        "are spills, against 8.3 % of all points, but the silhouette of normal against spill is only 0.24 (1 apart, 0 "
        "mixed). HDBSCAN finds 3 clusters and leaves 84.8 % of the images out. The memory is in use: 8.3 effective "
        "items of 10, 0 never nearest; the busiest takes 20.8 % of the queries."
    ),
    "latent/positions": (
        "Queries group by item, not by what is anomalous: their silhouette is 0.94 by nearest item and -0.01 by normal "
        "against spill. At close range spills still lie beside spills: of the ten neighbours of a spill's query 56.0 % "
        "are from spills, against 14.5 % of all points."
    ),
    "latent/items": (
        "The items are all in use: 8.3 effective ones of 10, 0 never nearest; the busiest takes 20.8 % of the queries. "
        "They are nearly orthogonal, with a cosine of -0.07 on average and 0.20 at most. The bottom line shows where "
        "spills are read differently from normals."
    ),
    "latent/kinds_items": (
        "The nearest item says next to nothing about what an image shows. Adjusted mutual information (1 the same, 0 "
        "chance) of images: 0.01 with normal against spill, 0.00 with the kind; of single queries: 0.00 and 0.00."
    ),
    "latent/kinds_clusters": (
        "The clusters say little about what an image shows. Adjusted mutual information (1 the same, 0 chance) of "
        "images: 0.03 with normal against spill, 0.08 with the kind; of single queries: 0.04 and 0.09."
    ),
    "latent/compare": (
        "Without a memory spills lie closer to other spills: 70.8 % of a spill's ten neighbours are spills, against "
        "58.2 % in MNAD. As a whole they are set apart from the normals less: silhouette 0.08 against 0.24."
    ),
}
