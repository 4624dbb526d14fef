//! The figures that may select variants: those of held-out rows, never those of test rows.

use latent_align_stages::figures::estimate_nll::GAP;
use latent_align_stages::figures::{HELD_OUT, TEST};

/// The figure of test rows that corresponds to `stage: held-out ...`, shown beside the figure used for
/// selection.
pub fn test_figure(figure: &str) -> Option<String> {
    let (stage, of_held_out) = figure.split_once(&format!(": {HELD_OUT}"))?;
    Some(format!("{stage}: {TEST}{of_held_out}"))
}

/// Why `figure` must not be used for selection; none if it may.
pub fn refuse_to_choose_by(figure: &str) -> Option<String> {
    let (stage, name) = figure.split_once(": ")?;
    if let Some(rest) = name.strip_prefix(TEST) {
        return Some(format!(
            "a figure of held-out rows, such as `{stage}: held-out {rest}`: test rows are not \
             used for selection; their figures are shown beside"
        ));
    }
    (name == GAP).then(|| {
        "a figure of held-out rows, such as `train-autoencoder: held-out coverage of features`: \
         the gap is of test rows, which are not used for selection"
            .to_owned()
    })
}
