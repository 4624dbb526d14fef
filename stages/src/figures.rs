//! Names of everything that stages report: figures, regions, tables and their columns.
//!
//! Stages write these names into manifests, tables and learning curves; reports, comparisons and sweeps look them
//! up. Names are spelled out nowhere else. A `{}` in a name is a placeholder for a number or a word ([`filled`]). A
//! name may be combined as follows:
//!
//! | name | meaning |
//! |---|---|
//! | `test NAME`, `held-out NAME`, `training NAME` | the rows of a figure ([`of_rows`]) |
//! | `REGION: NAME` | its points ([`in_region`]) |
//! | `NAME, 2.5 %`, `NAME, 97.5 %` | the ends of its interval ([`INTERVAL`]) |
//! | `NAME, standard error` | its standard error, elsewhere in the list ([`error_beside`]) |
//! | `its standard error` | that of the preceding figure ([`error_of`]) |
//! | `NAME (0 WORD, 1 WORD)` | the words shown for its numbers |

/// Declares names and a list of them.
macro_rules! names {
    ($(#[$about:meta])* $list:ident: $($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        $(#[$about])*
        pub const $list: &[&str] = &[$($name),*];
    };
}

names! {
    /// Figures that any stage may report.
    FIGURES:
    /// Number of trainable parameters.
    PARAMETERS = "parameters";
    /// The standard error of the preceding figure.
    ITS_ERROR = "its standard error";
    /// Peak memory of the process so far.
    PEAK_MEMORY = "peak memory of the process (MiB)";
    /// Duration of a stage, in sweeps.
    SECONDS = "seconds of the stage";
}

/// Suffixes of the ends of a figure's 95 % interval.
pub const INTERVAL: [&str; 2] = [", 2.5 %", ", 97.5 %"];
/// Prefix of figures of test rows, which are never used for selection.
pub const TEST: &str = "test ";
/// Prefix of figures of held-out rows.
pub const HELD_OUT: &str = "held-out ";

/// The figure `name` of rows called `word`, such as `test`.
pub fn of_rows(word: &str, name: &str) -> String {
    format!("{word} {name}")
}

/// The figure `name` of a region, or of a stage.
pub fn in_region(region: &str, name: &str) -> String {
    format!("{region}: {name}")
}

/// The standard error of the figure `name`, which directly follows it.
pub fn error_of(name: &str) -> String {
    let before = name.rfind(": ").map_or("", |end| &name[..end + 2]);
    format!("{before}{ITS_ERROR}")
}

/// The standard error of the figure `name`, for stages with several errors.
pub fn error_beside(name: &str) -> String {
    format!("{name}, standard error")
}

/// `name` with `words` substituted for its `{}`, in order.
pub fn filled(name: &str, words: &[&dyn std::fmt::Display]) -> String {
    let mut parts = name.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for (part, word) in parts.zip(words) {
        filled.push_str(&word.to_string());
        filled.push_str(part);
    }
    filled
}

/// Columns of learning curves.
pub mod curves {
    /// Name of the file without extension.
    pub const TABLE: &str = "metrics";
    /// Prefix of columns of held-out rows.
    pub const HELD_OUT: &str = "held_out_";
    /// Possible prefix of columns of training rows.
    pub const TRAINING: &str = "train_";

    names! {
        /// Every column.
        COLUMNS:
        /// Completed steps.
        STEP = "step";
        /// The loss of a batch.
        TRAIN_LOSS = "train_loss";
        /// The loss of held-out rows.
        HELD_OUT_LOSS = "held_out_loss";
        /// Accuracy on a batch.
        TRAIN_ACCURACY = "train_accuracy";
        /// Accuracy on held-out rows.
        HELD_OUT_ACCURACY = "held_out_accuracy";
        /// The reconstruction loss of a batch.
        RECONSTRUCTION = "reconstruction";
        /// The regulariser of a batch.
        REGULARISER = "regulariser";
        /// The reconstruction loss of held-out rows.
        HELD_OUT_RECONSTRUCTION = "held_out_reconstruction";
        /// The regulariser of the latents of held-out rows.
        HELD_OUT_REGULARISER = "held_out_regulariser";
        /// The NLL of a batch in bits per dimension.
        TRAIN_BITS = "train_bits";
        /// The NLL of held-out rows in bits per dimension.
        HELD_OUT_BITS = "held_out_bits";
        /// The learning rate.
        LEARNING_RATE = "learning_rate";
    }
}

/// Figures of `train-classifier`.
pub mod train_classifier {
    names! {
        /// Every figure.
        FIGURES:
        /// Share of correctly classified rows.
        ACCURACY = "accuracy";
        /// The mean loss.
        CROSS_ENTROPY = "cross-entropy (nats)";
    }
}

/// Figures of the energy test of points against features; the distance itself is named by what is compared.
pub mod energy_test {
    names! {
        /// Every figure.
        FIGURES:
        /// The energy distance of equally many other features.
        FRESH_DISTANCE = "energy distance of a fresh sample";
        /// The ratio of the points' distance to that of a fresh sample.
        DISTANCE_OVER_FRESH = "energy distance over that of a fresh sample";
        /// The p-value of equal distributions.
        P_VALUE = "p-value, same distribution";
        /// Number of compared points.
        POINTS = "energy test, points";
        /// Power of the test for a shift.
        POWER = "energy test, power for a shift by half a standard deviation";
    }
}

/// Figures of two-sample tests of points against features; each name contains one of
/// [`POINTS`](two_samples::POINTS).
pub mod two_samples {
    names! {
        /// Points compared with features.
        POINTS:
        /// Latents, token by token.
        LATENTS = "latents";
        /// All tokens of a row together, against features grouped in the same way: the tokens of a feature if the
        /// flow is over whole rows, else independent features.
        WHOLE = "whole latents";
        /// Samples of the flow, the limit for latents aligned by it.
        SAMPLES = "samples";
        /// Groups of samples of the flow, as many as a latent has tokens.
        WHOLE_SAMPLES = "whole samples";
    }

    names! {
        /// Every figure.
        FIGURES:
        /// Accuracy of a classifier, with its standard error beside it.
        ACCURACY = "classifier's accuracy, {} against features";
        /// Number of compared points of each kind.
        COUNT = "points of the tests, {}";
        /// The energy distance between the distributions.
        DISTANCE = "unbiased energy distance, {} to features";
        /// Upper end of its interval under equal distributions.
        DISTANCE_NULL = "unbiased energy distance, {} to features, 97.5 % of relabelled ones are below";
        /// The p-value of the energy test.
        ENERGY_P = "p-value of the energy test, {}";
        /// The maximum mean discrepancy, squared.
        MMD = "squared MMD, {} to features";
        /// Upper end of its interval under equal distributions.
        MMD_NULL = "squared MMD, {} to features, 97.5 % of relabelled ones are below";
        /// The p-value of the kernel test.
        KERNEL_P = "p-value of the kernel test, {}";
        /// Mean distance between two points divided by that between two features.
        SPREAD = "mean distance of two {} over that of two features";
        /// The two-sided p-value of the spread.
        SPREAD_P = "p-value of the test of the spread, {}";
        /// Share of nearest rows that belong to the same sample.
        NEIGHBOURS = "share of nearest neighbours in the same sample, {} and features";
        /// Upper end of its interval under equal distributions.
        NEIGHBOURS_NULL = "share of nearest neighbours in the same sample, {} and features, 97.5 % of relabelled ones are below";
        /// The p-value of the nearest-neighbour test.
        NEIGHBOURS_P = "p-value of the nearest-neighbour test, {}";
    }
}

/// Figures of `pretrain-flow`.
pub mod pretrain_flow {
    names! {
        /// Every figure.
        FIGURES:
        /// The training loss.
        LOSS = "flow-matching loss";
        /// The loss of the exact velocity field, a lower bound.
        FLOOR = "its floor (exact velocity, same points)";
        /// Ratio of the two.
        LOSS_OVER_FLOOR = "loss over floor";
        /// Step of the weights chosen by early stopping.
        BEST_STEP = "step of the best weights";
        /// The mean NLL of points.
        NLL = "NLL (nats)";
        /// The mean NLL under the target, if its density is known.
        ANALYTIC_NLL = "analytic NLL of the same points (nats)";
        /// Excess of the NLL over the analytic one, with its standard error beside it.
        NLL_OVER_ANALYTIC = "NLL over the analytic one (nats)";
        /// Standard deviation of the noise added to points.
        NOISE = "standard deviation of the noise in points";
        /// NLL of dequantised levels, with its standard error beside it.
        BITS = "bits a dimension";
        /// The same under the uniform distribution.
        UNIFORM_BITS = "bits a dimension, uniform";
        /// The same under a Gaussian with the covariance of training rows.
        GAUSSIAN_BITS = "bits a dimension, full Gaussian";
        /// The same, of the levels themselves, under a histogram per dimension.
        HISTOGRAM_BITS = "bits a dimension, independent histograms";
        /// The mean NLL in the space of the features.
        FEATURES_NLL = "NLL in feature space (nats)";
        /// The energy distance of samples to features.
        SAMPLES_DISTANCE = "energy distance of samples to features";
        /// Share of features with a sample nearby.
        COVERAGE = "coverage of features by samples";
        /// The worst dimension's energy distance.
        WORST_MARGINAL = "energy distance of the worst dimension over that of a fresh sample";
        /// A bound on the mean NLL of sequences, including their end tokens.
        SEQUENCE_NLL = "NLL of sequences, upper bound (nats a token)";
        /// The same under independent token frequencies.
        FREQUENCY_NLL = "NLL of sequences under frequencies of tokens (nats a token)";
        /// The mean NLL of noisy embedded tokens, a density.
        EMBEDDED_NLL = "NLL of embedded sequences with noise (nats a dimension)";
        /// The mean KL divergence of posteriors to N(0, I), for an autoencoder.
        SEQUENCE_KL = "KL divergence of posteriors to N(0, I) (nats a sequence)";
        /// Of tokens, including end tokens.
        LIKELIEST = "share of tokens that are the likeliest after those before";
        /// Of latents with fresh noise.
        LATENT_SQUARE = "mean square of latents, 1 under N(0, I)";
        /// Of latents with fresh noise.
        EXACT_NOISY = "share decoded exactly, latents with fresh noise";
        /// Of encoded latents.
        EXACT = "share decoded exactly";
        /// Share of samples that occur in the data.
        SAMPLES_IN_DATA = "share of samples that occur in the data";
        /// Share of distinct samples.
        DIFFERENT_SAMPLES = "share of samples that differ from each other";
        /// The width of a point of an imported flow.
        WIDTH = "width d";
        /// The width of an imported network.
        NETWORK_WIDTH = "network width";
        /// Number of blocks of an imported network.
        NETWORK_BLOCKS = "network blocks";
    }

    /// Name of the table of dimensions.
    pub const MARGINALS: &str = "marginals";

    names! {
        /// Columns of [`MARGINALS`].
        MARGINALS_COLUMNS:
        /// Index from 0.
        DIMENSION = "dimension";
        /// The variance of samples.
        SAMPLE_VARIANCE = "sample_variance";
        /// The variance of features.
        FEATURE_VARIANCE = "feature_variance";
        /// The energy distance of samples to features.
        MARGINAL_DISTANCE = "energy_distance";
        /// That of equally many other features.
        MARGINAL_FRESH_DISTANCE = "energy_distance_of_fresh_sample";
    }
}

/// Figures and columns of `score` for sequences.
pub mod sequences {
    names! {
        /// Every figure and column.
        FIGURES:
        /// A bound on the mean NLL of sequences.
        BOUND = "NLL of sequences, upper bound (nats a token)";
        /// The sequence.
        TEXT = "sequence";
        /// Number of tokens, including the end token.
        TOKENS = "tokens";
        /// A bound on its NLL.
        NLL = "nll_bound";
    }
}

/// Figures of `train-autoencoder`.
pub mod train_autoencoder {
    names! {
        /// Every figure.
        FIGURES:
        /// The reconstruction loss of training.
        RECONSTRUCTION_LOSS = "reconstruction loss";
        /// The error of decoded means.
        ERROR = "mean squared error";
        /// The error of decoded draws.
        ERROR_OF_DRAWS = "mean squared error, decoded draws";
        /// The same of images, as a ratio.
        PSNR = "PSNR (dB)";
        /// Share of the data's variance that reconstructions explain.
        EXPLAINED = "variance explained";
        /// The variance of latents.
        VARIANCE = "latent variance, mean over dimensions";
        /// Variance of the least varying dimension.
        LEAST_VARIANCE = "latent variance, smallest dimension";
        /// Variance of the most varying dimension.
        MOST_VARIANCE = "latent variance, largest dimension";
        /// The variance of latents before training.
        VARIANCE_BEFORE = "latent variance before training";
        /// Effective number of dimensions of latents.
        RANK = "effective rank of latents";
        /// Effective number of dimensions of features.
        FEATURES_RANK = "effective rank of features";
        /// Share of features with a latent nearby.
        COVERAGE = "coverage of features";
        /// The same with posterior means as latents.
        COVERAGE_OF_MEANS = "coverage of features by posterior means";
        /// The energy distance of latents to features.
        DISTANCE = "energy distance to features";
        /// That distance relative to a fresh sample's, with posterior means as latents.
        MEANS_DISTANCE_OVER_FRESH = "energy distance of posterior means over that of a fresh sample";
        /// Relative occupancy of the emptiest mode of a mixture.
        EMPTIEST_MODE = "latents in a mode over its mass, smallest";
        /// Relative occupancy of the fullest mode of a mixture.
        FULLEST_MODE = "latents in a mode over its mass, largest";
        /// The negative evidence lower bound.
        ELBO = "negative ELBO (nats)";
        /// The same per element of data.
        ELBO_BITS = "negative ELBO (bits/dim)";
        /// Its reconstruction part.
        ELBO_RECONSTRUCTION = "of it reconstruction (nats)";
        /// Its KL part, with the name of the prior.
        ELBO_KL = "of it KL to the prior, {} (nats)";
        /// The importance-weighted bound, with numbers of rows and samples.
        IMPORTANCE = "importance-weighted NLL of {} rows, S = {} (nats)";
        /// Its difference from a weaker bound, which is named.
        IMPORTANCE_LESS = "importance-weighted NLL of {} rows, S = {} less {} (standard errors)";
        /// The exact NLL of the same rows.
        EXACT = "exact NLL of {} rows, linear decoder (nats)";
        /// Excess of the tightest bound over the exact NLL.
        LESS_EXACT = "importance-weighted NLL of {} rows, {} less the exact one (standard errors)";
    }

    /// Name of the table of variances.
    pub const VARIANCES: &str = "variances";
    /// Name of the table of moving points.
    pub const TRAJECTORY: &str = "trajectory";

    names! {
        /// Columns of [`VARIANCES`].
        VARIANCES_COLUMNS:
        /// Index from 0.
        DIMENSION = "dimension";
        /// The variance of latents.
        LATENT_VARIANCE = "latent_variance";
        /// The variance of features.
        FEATURE_VARIANCE = "feature_variance";
    }

    names! {
        /// Columns of [`TRAJECTORY`].
        TRAJECTORY_COLUMNS:
        /// Completed steps.
        STEP = "step";
        /// Index from 0.
        POINT = "point";
        /// A coordinate, numbered from 0.
        COORDINATE = "y{}";
    }
}

/// Figures of `transport`, besides those of latents from `train-autoencoder`.
pub mod transport {
    names! {
        /// Every figure.
        FIGURES:
        /// Error of latents after the round trip, relative to their spread.
        ROUND_TRIP = "round trip error (relative)";
        /// The same for the worst latent.
        WORST_ROUND_TRIP = "round trip error of the worst latent (relative)";
        /// The mean squared error of the stored reconstructions.
        ERROR = "mean squared error of {} kept reconstructions";
        /// The same, decoded after the round trip.
        ERROR_AFTER = "mean squared error of {} kept reconstructions, there and back";
        /// Relative increase of that error.
        ERROR_CHANGE = "change of that error by the way there and back (%)";
        /// Change of decoded latents after the round trip.
        DECODED_CHANGE = "mean squared change of decoded latents by the way there and back";
        /// The smallest eigenvalue of the covariance of latents.
        LEAST_EIGENVALUE = "smallest eigenvalue of the latents' covariance";
        /// The largest one.
        MOST_EIGENVALUE = "largest eigenvalue of the latents' covariance";
        /// Cost of the forward map.
        OWN_EVALUATIONS = "evaluations a latent, flow of the latents";
        /// The same of the target's flow, counting all tokens of a row once.
        TARGET_EVALUATIONS = "evaluations a latent, flow of the target";
        /// Duration of the forward map.
        SECONDS = "seconds a latent";
        /// Accuracy of a classifier between the latents' noise and fresh noise.
        NOISE_ACCURACY = "classifier's accuracy, noise of latents against fresh noise";
        /// Energy distance between the two.
        NOISE_DISTANCE = "unbiased energy distance, noise of latents to fresh noise";
        /// Upper end of its interval under equal distributions.
        NOISE_DISTANCE_NULL = "unbiased energy distance, noise of latents to fresh noise, 97.5 % of relabelled ones are below";
        /// The p-value of the energy test.
        NOISE_ENERGY_P = "p-value of the energy test, noise of latents";
        /// The p-value of the kernel test.
        NOISE_KERNEL_P = "p-value of the kernel test, noise of latents";
        /// The p-value of the nearest-neighbour test.
        NOISE_NEIGHBOURS_P = "p-value of the nearest-neighbour test, noise of latents";
        /// Number of compared points of each kind.
        NOISE_COUNT = "points of the tests, noise of latents";
    }
}

/// Figures of `estimate-nll`. Names in [`REGION_FIGURES`](estimate_nll::REGION_FIGURES) and in
/// [`AGREEMENT`](estimate_nll::AGREEMENT) are prefixed with a region, the latter also with a weighting.
pub mod estimate_nll {
    names! {
        /// Every region.
        REGIONS:
        /// Test features of the flow, never used for selection.
        TEST_FEATURES = "test features";
        /// Held-out features of the flow, if it has no test part.
        HELD_OUT_FEATURES = "held-out features";
        /// Latents of test data.
        TEST_LATENTS = "test latents";
        /// Posterior means of the shown latents, if these are draws.
        MEANS = "posterior means";
        /// Latents of held-out data, which sweeps may use for selection.
        HELD_OUT_LATENTS = "held-out latents";
        /// Latents of training data.
        TRAINING_LATENTS = "training latents";
        /// Free points after training.
        FREE_POINTS = "free points";
        /// Latents of test data of an unaligned autoencoder.
        UNALIGNED = "unaligned latents";
        /// Uniform points in a box around the features.
        BOX = "uniform box";
        /// A regular grid in that box, in two dimensions.
        GRID = "grid";
    }

    /// Regions of features in order of preference; the first available one is shown.
    pub const FEATURES: [&str; 2] = [TEST_FEATURES, HELD_OUT_FEATURES];
    /// Regions of latents in order of preference; the first available one is shown.
    pub const LATENTS: [&str; 3] = [TEST_LATENTS, FREE_POINTS, HELD_OUT_LATENTS];

    names! {
        /// Compared quantities.
        QUANTITIES:
        /// The NLL by the probability-flow ODE.
        ODE = "ODE NLL";
        /// The NLL of a prior in closed form.
        EXACT = "exact NLL";
        /// The NLL under the target, if its density is known.
        ANALYTIC = "analytic NLL";
        /// The exact NLL under another experiment's prior over the same features.
        WITNESS = "witness NLL";
        /// The loss under the uniform weighting.
        UNIFORM_LOSS = "alignment loss (uniform, sum)";
        /// The loss under the likelihood weighting.
        BOUND = "likelihood-weighted bound";
        /// Suffix of losses of the exact velocity field.
        EXACT_VELOCITY = "exact velocity";
        /// Prefix of figures that compare the two NLLs.
        ODE_AGAINST_ANALYTIC = "ODE against analytic";
        /// The same for a prior with a closed form.
        EXACT_AGAINST_ANALYTIC = "exact against analytic";
        /// The same for the witness.
        WITNESS_AGAINST_ANALYTIC = "witness against analytic";
        /// Prefix of figures that compare a surrogate, which is named, with the witness.
        AGAINST_WITNESS = "{} against witness";
    }

    names! {
        /// Figures of a region.
        REGION_FIGURES:
        /// Number of points.
        POINTS = "points";
        /// Their mean NLL.
        NLL = "mean NLL, ODE (nats)";
        /// The same under a prior with a closed form.
        NLL_IN_CLOSED_FORM = "mean NLL, exact (nats)";
        /// Their mean NLL under the witness.
        NLL_OF_WITNESS = "mean NLL, witness (nats)";
        /// Number of points that the witness scores together, if more than one.
        TOGETHER = "points of one NLL of the witness";
        /// Standard error of a single point's NLL.
        PROBE_ERROR = "standard error of a point's NLL, from the probes";
        /// Their mean NLL under the target.
        ANALYTIC_NLL = "mean NLL, analytic";
        /// Number of points where the target's density is 0.
        OUTSIDE = "points where the density is 0, left out";
        /// Their mean NLL if they are dequantised levels.
        BITS = "bits a dimension";
        /// Noise added to features, as in the training of the flow.
        NOISE = "standard deviation of the noise in points";
        /// Their mean loss under the uniform weighting.
        MEAN_UNIFORM_LOSS = "mean alignment loss (uniform, sum)";
        /// Their mean loss under the likelihood weighting.
        MEAN_BOUND = "mean NLL, likelihood-weighted bound";
        /// Negative ELBO of the flow as a hierarchical VAE, with its number of levels.
        ELBO = "negative ELBO, {} levels (nats)";
        /// Its excess over the NLL by the ODE.
        OVER_ODE = "negative ELBO, {} levels, over the NLL (nats)";
        /// The accuracy of the solver, for a region and for all.
        HALVED = "largest change of an NLL with halved steps (nats)";
    }

    names! {
        /// Agreement of a surrogate with an NLL.
        AGREEMENT:
        /// Linear correlation.
        PEARSON = "Pearson";
        /// Rank correlation.
        SPEARMAN = "Spearman";
        /// Rank correlation by pairs.
        KENDALL = "Kendall";
        /// Slope of the NLL on the surrogate.
        SLOPE = "slope";
        /// The mean difference.
        BIAS = "bias";
        /// The root mean square of differences.
        RMSE = "RMSE";
        /// Cosine between gradients.
        COSINE = "gradient cosine";
        /// The verdict on the surrogate, as a number.
        VERDICT = "verdict (2 holds, 1 ranks only, 0 fails)";
    }

    names! {
        /// Figures of all regions together.
        FIGURES:
        /// Mean NLL of latents minus that of features.
        GAP = "NLL gap, latents over features (nats)";
        /// Mean NLL of unaligned latents minus that of latents.
        FALL_FROM_UNALIGNED = "fall of the NLL from unaligned latents (nats)";
        /// Decrease of the latents' loss since before training.
        FALL_SINCE_TRAINING = "fall of the alignment loss since before training";
        /// Converts an NLL of points into one of features.
        TO_FEATURE_SPACE = "add for NLL in feature space (nats)";
        /// Cost of the solver.
        EVALUATIONS = "divergence evaluations a point";
        /// Number of points that missed the tolerance, with the maximum number of intervals.
        UNSETTLED = "points whose quadrature stopped at {} intervals";
        /// Draws of the surrogates.
        DRAWS = "draws behind a point's loss";
        /// Source of their errors.
        RULES = "independent rules among them";
        /// The divergence by two methods, with the name of the other method and the number format.
        DIVERGENCE = "divergence, tangents against {} in {} (relative)";
        /// Error of the divergence estimated by probes.
        HUTCHINSON = "Hutchinson's mean NLL against the exact one (standard errors)";
        /// Error of points after a round trip, for a prior in closed form.
        ROUND_TRIP = "largest error of a round trip to noise and back";
        /// The NLL computed from noise and determinant, against the NLL itself.
        FROM_NOISE = "largest difference of an NLL and that from noise and log|det| (nats)";
    }

    /// Figures that indicate collapse, in order of preference; each has a standard error beside it.
    pub const FALLS: [&str; 2] = [FALL_FROM_UNALIGNED, FALL_SINCE_TRAINING];

    /// Name of the table of points.
    pub const POINTS_TABLE: &str = "points";
    /// Name of the table of agreements.
    pub const AGREEMENT_TABLE: &str = "agreement";
    /// Name of the table of the flow as a hierarchical VAE, for test features.
    pub const HIERARCHY_TABLE: &str = "hierarchy";

    names! {
        /// Columns of [`HIERARCHY_TABLE`]: means over points in nats.
        HIERARCHY_COLUMNS:
        /// Number of levels.
        LEVELS = "levels";
        /// The negative ELBO.
        MEAN_ELBO = "negative_elbo";
        /// Its standard error over points.
        MEAN_ELBO_ERROR = "negative_elbo_error";
        /// Its excess over the NLL by the ODE.
        MEAN_OVER_ODE = "over_nll";
        /// Its standard error over points.
        MEAN_OVER_ODE_ERROR = "over_nll_error";
        /// The likelihood-weighted bound, the same in every row.
        BOUND_BESIDE = "bound";
        /// The NLL by the ODE, the same in every row.
        NLL_BESIDE = "nll";
    }

    names! {
        /// Columns of [`POINTS_TABLE`].
        POINTS_COLUMNS:
        /// The region of a point, or of an agreement.
        REGION = "region";
        /// Index from 0 within each region.
        POINT = "point";
        /// Group of points that belong together.
        GROUP = "group";
        /// The NLL by the ODE.
        NLL_ODE = "nll_ode";
        /// Whether the tolerance was reached.
        NLL_ODE_SETTLED = "nll_ode_settled";
        /// The NLL of a prior in closed form.
        NLL_EXACT = "nll_exact";
        /// Its standard error, if estimated by probes.
        NLL_ODE_ERROR = "nll_ode_error";
        /// The NLL in the space of features.
        NLL_FEATURE_SPACE = "nll_feature_space";
        /// The NLL under the target.
        NLL_ANALYTIC = "nll_analytic";
        /// The NLL under the witness, for a whole group if it scores points together.
        NLL_WITNESS = "nll_witness";
        /// The loss under a weighting, which is named.
        LOSS = "loss_{}";
        /// Its standard error.
        LOSS_ERROR = "loss_{}_error";
        /// The loss of the exact velocity field.
        LOSS_EXACT_VELOCITY = "loss_{}_exact_velocity";
        /// A coordinate, numbered from 0.
        COORDINATE = "y{}";
    }

    names! {
        /// Columns of [`AGREEMENT_TABLE`] besides [`REGION`].
        AGREEMENT_COLUMNS:
        /// What is compared.
        SURROGATE = "surrogate";
        /// The reference.
        REFERENCE = "reference";
        /// The measure of agreement.
        FIGURE = "figure";
        /// Its value.
        VALUE = "value";
        /// The low end of its interval.
        LOW = "low";
        /// The high end of its interval.
        HIGH = "high";
    }
}

/// Figures with their stage's name, as comparisons and sweeps use them.
pub mod of_stage {
    names! {
        /// All of these.
        FIGURES:
        /// Reconstruction error of test rows.
        ERROR = "train-autoencoder: test mean squared error";
        /// The NLL of latents.
        NLL = "estimate-nll: test latents: mean NLL, ODE (nats)";
        /// The NLL of features, the reference.
        FEATURES_NLL = "estimate-nll: test features: mean NLL, ODE (nats)";
        /// The difference.
        GAP = "estimate-nll: NLL gap, latents over features (nats)";
    }
}

/// The key figures of all stages as `stage: figure`: tables show those that a run has, unless told otherwise.
pub fn key_figures() -> Vec<String> {
    let test = |stage: &str, name: &str| in_region(stage, &of_rows("test", name));
    let accuracy = |points: &str| filled(two_samples::ACCURACY, &[&points]);
    vec![
        test("pretrain-flow", pretrain_flow::BITS),
        test("pretrain-flow", pretrain_flow::SEQUENCE_NLL),
        of_stage::ERROR.to_owned(),
        test("train-autoencoder", &accuracy(two_samples::LATENTS)),
        test("train-autoencoder", &accuracy(two_samples::WHOLE)),
        test("train-autoencoder", train_autoencoder::COVERAGE),
        test("transport", &accuracy(two_samples::LATENTS)),
        test("transport", &accuracy(two_samples::WHOLE)),
        of_stage::NLL.to_owned(),
        of_stage::FEATURES_NLL.to_owned(),
        test("train-classifier", train_classifier::ACCURACY),
        in_region("sample", sample::DISTANCE),
        test("evaluate-latents", evaluate_latents::PROBE_ACCURACY),
        test("evaluate-likelihood", evaluate_likelihood::BITS),
        test("evaluate-likelihood", evaluate_likelihood::LEVELS),
        test("evaluate-likelihood", evaluate_likelihood::DENSITY),
        in_region("optimise-latents", optimise_latents::BEST),
    ]
}

/// Figures of `sample`.
pub mod sample {
    names! {
        /// Every figure.
        FIGURES:
        /// Duration per sample.
        SECONDS = "seconds a sample";
        /// Number of samples that were not finite.
        AGAIN = "samples that were not finite and were drawn again";
        /// Network evaluations per sample.
        EVALUATIONS = "network evaluations a sample";
        /// The same per block if tokens are drawn together; blocks are numbered from the data.
        BLOCK_EVALUATIONS = "network evaluations a sample, block {}";
        /// Of samples to test data, in the classifier's features.
        DISTANCE = "Fréchet distance of samples";
        /// Of held-out data to test data.
        DATA_DISTANCE = "Fréchet distance between held-out and test data";
        /// Share of samples within the neighbourhoods of data.
        PRECISION = "precision of samples";
        /// Share of data within the neighbourhoods of samples.
        RECALL = "recall of samples";
        /// Share of test data within the neighbourhoods of held-out data.
        DATA_RECALL = "recall of held-out data";
        /// Share of samples that the classifier assigns to the requested class.
        CLASS_ACCURACY = "class accuracy of samples";
        /// Root mean square difference to the nearest training row, mean over samples.
        NEAREST = "distance of samples to the nearest training row";
        /// The same for unseen rows: the value without copying.
        UNSEEN_NEAREST = "distance of unseen rows to the nearest training row";
        /// Share of samples nearer to a training row than 95 % of unseen rows; 5 % if samples are as far from
        /// training rows as new data.
        NEAR = "share of samples nearer to a training row than 95 % of unseen rows";
    }
}

/// Figures of `evaluate-likelihood`: the same for every model, so that tables of models share columns.
pub mod evaluate_likelihood {
    names! {
        /// Every figure.
        FIGURES:
        /// The NLL of integer levels, a probability.
        LEVELS = "NLL of levels (nats)";
        /// The same per element of a row of data.
        BITS = "bits a dimension";
        /// Whether it refers to the levels or to dequantised levels, which have a larger NLL.
        DEQUANTISED = "levels (0 as they are, 1 dequantised)";
        /// The NLL of real-valued data.
        DENSITY = "NLL as a density (nats)";
        /// The cross-entropy of a Bernoulli decoder with grey values.
        GREY = "cross-entropy of grey values, no likelihood (nats)";
        /// Kind of the NLL.
        KIND = "kind of number (0 exact, 1 ODE, 2 bound, 3 importance-weighted, 4 negative ELBO)";
        /// Number of rows.
        ROWS = "rows";
        /// S, the number of importance samples.
        SAMPLES = "importance samples a row";
        /// How the log-density of latents is computed.
        PRIOR = "prior of latents (0 closed form, 1 ODE, 2 bound)";
        /// The negative ELBO from the same draws.
        ELBO = "negative ELBO (nats)";
        /// Amortisation and approximation gap.
        GAP = "negative ELBO less importance-weighted NLL (nats)";
        /// Uncertainty of the mean due to the draws.
        DRAWS_ERROR = "standard error of the NLL over its draws (nats)";
        /// The same for the least certain row.
        WORST_DRAWS_ERROR = "standard error of a row's NLL over its draws, largest (nats)";
        /// The mean effective sample size.
        EFFECTIVE = "effective sample size, mean over rows";
        /// The smallest one.
        WORST_EFFECTIVE = "effective sample size, worst row";
        /// Number of rows with a small effective sample size.
        FEW = "rows with an effective sample size below 10";
        /// Elements per row of data.
        DIMENSIONS = "numbers in a row of data";
        /// Elements per latent.
        LATENTS = "numbers in a latent";
        /// Duration of computing the NLL.
        SECONDS = "seconds for the NLL";
    }

    /// Name of its progress.
    pub const PROGRESS: &str = "importance weights";
    /// Name of the table of rows.
    pub const TABLE: &str = "likelihoods";

    names! {
        /// Columns of [`TABLE`].
        COLUMNS:
        /// Index from 0.
        ROW = "row";
        /// In nats.
        ROW_NLL = "nll";
        /// Over draws, by the delta method.
        ROW_ERROR = "nll_error";
        /// The negative ELBO from the same draws.
        ROW_ELBO = "negative_elbo";
        /// The effective sample size.
        ROW_EFFECTIVE = "effective_sample_size";
    }
}

/// Figures of `evaluate-latents`.
pub mod evaluate_latents {
    names! {
        /// Every figure.
        FIGURES:
        /// Accuracy of a linear classifier of latents.
        PROBE_ACCURACY = "linear probe accuracy";
        /// Between decoded samples and data.
        SAMPLES_DISTANCE = "Fréchet distance of samples";
        /// Between reconstructions and data.
        RECONSTRUCTIONS_DISTANCE = "Fréchet distance of reconstructions";
        /// Between two parts of the data.
        DATA_DISTANCE = "Fréchet distance between held-out and test data";
    }
}

/// Figures of `optimise-latents`.
pub mod optimise_latents {
    names! {
        /// Every figure.
        FIGURES:
        /// The best score of all, including the initial sequences.
        BEST = "best score";
        /// The best initial score.
        BEST_OF_START = "best score of the start";
        /// Objective calls charged to the budget.
        CALLS = "calls of the objective";
        /// Share of calls without a score.
        INFEASIBLE = "infeasible share of calls";
        /// Number of initial sequences.
        START = "sequences of the start";
        /// Share of drawn sequences excluded from the initial ones for being among the best.
        LEFT_OUT = "share of sequences left out of the start as the best";
        /// Rounds of proposals.
        ROUNDS = "rounds";
        /// Duration of proposing, including model fits.
        PROPOSING = "seconds of proposing";
        /// Duration of scoring.
        SCORING = "seconds of the objective";
        /// Share of sequences reconstructed exactly from their latents.
        DECODED = "share of evaluated sequences that decode to themselves";
        /// Mean of `|score(decode(encode(x))) - score(x)|` over evaluated sequences.
        ENCODED_DISCREPANCY = "value discrepancy at encoded latents";
        /// Mean over proposals of the surrogate's prediction at the chosen latent minus that at its sequence's
        /// latent.
        PROPOSED_DISCREPANCY = "value discrepancy at proposed latents, of expected scores";
        /// Root mean square distance between these two latents over proposals.
        MOVED = "distance of proposed latents from those of their sequences (root mean square)";
    }

    /// Name of the table of evaluations.
    pub const TABLE: &str = "evaluations";

    names! {
        /// Columns of [`TABLE`].
        COLUMNS:
        /// The scored sequence.
        TEXT = "text";
        /// Its score; NaN if infeasible.
        SCORE = "score";
        /// Whether it has a score.
        FEASIBLE = "feasible";
        /// The round of its proposal; 0 for initial sequences.
        ROUND = "round";
        /// Its trust region; NaN without one.
        REGION = "region";
        /// The predicted score; NaN without one.
        PREDICTED = "predicted";
        /// Standard deviation of the prediction.
        UNCERTAINTY = "uncertainty";
        /// Distance of the chosen latent from that of its sequence; NaN without one.
        MOVED_BY = "moved";
        /// Difference of the predicted scores of these two.
        DISCREPANCY = "discrepancy";
        /// The best score so far.
        BEST_SO_FAR = "best_so_far";
        /// Calls so far.
        CALLS_SO_FAR = "calls";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_of_the_same_region() {
        let name = in_region(estimate_nll::GRID, estimate_nll::NLL);
        assert_eq!(error_of(&name), "grid: its standard error");
        assert_eq!(error_of(pretrain_flow::NLL), "its standard error");
    }

    #[test]
    fn a_figure_with_its_stage_is_made_of_both() {
        let nll = |region| in_region("estimate-nll", &in_region(region, estimate_nll::NLL));
        let made = [
            in_region(
                "train-autoencoder",
                &of_rows("test", train_autoencoder::ERROR),
            ),
            nll(estimate_nll::TEST_LATENTS),
            nll(estimate_nll::TEST_FEATURES),
            in_region("estimate-nll", estimate_nll::GAP),
        ];
        assert_eq!(made, of_stage::FIGURES);
    }

    #[test]
    fn each_hole_is_filled_once() {
        assert_eq!(filled("a {} of {}.", &[&"{}", &1]), "a {} of 1.");
        assert_eq!(filled(estimate_nll::LOSS, &[&"uniform"]), "loss_uniform");
    }
}
