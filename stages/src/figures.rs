//! What stages call what they report: figures, regions, tables and their columns.
//!
//! Stages write these names into manifests, tables and learning curves; reports, comparisons and sweeps look
//! for them there. Neither spells one out anywhere else. A `{}` in a name stands for a number or a word
//! ([`filled`]). What may stand around a name:
//!
//! | name | says |
//! |---|---|
//! | `test NAME`, `held-out NAME`, `training NAME` | of which rows a figure is ([`of_rows`]) |
//! | `REGION: NAME` | of which points it is ([`in_region`]) |
//! | `NAME, 2.5 %`, `NAME, 97.5 %` | the ends of its interval ([`INTERVAL`]) |
//! | `NAME, standard error` | its standard error, beside it ([`error_beside`]) |
//! | `its standard error` | that of the figure before it ([`error_of`]) |
//! | `NAME (0 WORD, 1 WORD)` | the words that its numbers stand for, and are shown as |

/// Declares names, and a list of them.
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
    /// Trainable numbers.
    PARAMETERS = "parameters";
    /// The standard error of the figure before it.
    ITS_ERROR = "its standard error";
    /// The most memory that the process needed so far.
    PEAK_MEMORY = "peak memory of the process (MiB)";
    /// How long a stage took, in sweeps.
    SECONDS = "seconds of the stage";
}

/// What stands after the name of a figure for the ends of its 95 % interval.
pub const INTERVAL: [&str; 2] = [", 2.5 %", ", 97.5 %"];
/// What stands before the name of a figure of test rows, by which nothing is chosen.
pub const TEST: &str = "test ";
/// What stands before the name of a figure of held-out rows.
pub const HELD_OUT: &str = "held-out ";

/// The figure `name` of rows that are called `word`, such as `test`.
pub fn of_rows(word: &str, name: &str) -> String {
    format!("{word} {name}")
}

/// The figure `name` of a region, or of a stage.
pub fn in_region(region: &str, name: &str) -> String {
    format!("{region}: {name}")
}

/// The standard error of the figure `name`, which stands right after it.
pub fn error_of(name: &str) -> String {
    let before = name.rfind(": ").map_or("", |end| &name[..end + 2]);
    format!("{before}{ITS_ERROR}")
}

/// The standard error of the figure `name` where several figures of a stage have one.
pub fn error_beside(name: &str) -> String {
    format!("{name}, standard error")
}

/// `name` with `words` in place of its `{}`, one after the other.
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
    /// The file, without its ending.
    pub const TABLE: &str = "metrics";
    /// What a column of held-out rows starts with.
    pub const HELD_OUT: &str = "held_out_";
    /// What a column of training rows may start with.
    pub const TRAINING: &str = "train_";

    names! {
        /// Every column.
        COLUMNS:
        /// Steps done.
        STEP = "step";
        /// The loss of a batch.
        TRAIN_LOSS = "train_loss";
        /// The loss of held-out rows.
        HELD_OUT_LOSS = "held_out_loss";
        /// The share of a batch that is classified right.
        TRAIN_ACCURACY = "train_accuracy";
        /// The share of held-out rows that is classified right.
        HELD_OUT_ACCURACY = "held_out_accuracy";
        /// The reconstruction loss of a batch.
        RECONSTRUCTION = "reconstruction";
        /// The regulariser of a batch.
        REGULARISER = "regulariser";
        /// The reconstruction loss of held-out rows.
        HELD_OUT_RECONSTRUCTION = "held_out_reconstruction";
        /// The regulariser of the latents of held-out rows.
        HELD_OUT_REGULARISER = "held_out_regulariser";
        /// The NLL of a batch in bits a dimension.
        TRAIN_BITS = "train_bits";
        /// The NLL of held-out rows in bits a dimension.
        HELD_OUT_BITS = "held_out_bits";
        /// The learning rate.
        LEARNING_RATE = "learning_rate";
    }
}

/// What `train-classifier` reports.
pub mod train_classifier {
    names! {
        /// Every figure.
        FIGURES:
        /// The share of rows that is classified right.
        ACCURACY = "accuracy";
        /// The mean loss.
        CROSS_ENTROPY = "cross-entropy (nats)";
    }
}

/// What the energy test says of points beside features; the distance itself is named by what is compared.
pub mod energy_test {
    names! {
        /// Every figure.
        FIGURES:
        /// The energy distance of as many other features.
        FRESH_DISTANCE = "energy distance of a fresh sample";
        /// That of the points over it.
        DISTANCE_OVER_FRESH = "energy distance over that of a fresh sample";
        /// The p-value.
        P_VALUE = "p-value, same distribution";
        /// How many points are compared.
        POINTS = "energy test, points";
        /// How often the test finds a shift.
        POWER = "energy test, power for a shift by half a standard deviation";
    }
}

/// What two-sample tests of points against features say, in each of these the points, one of
/// [`POINTS`](two_samples::POINTS).
pub mod two_samples {
    names! {
        /// What is compared with features.
        POINTS:
        /// Latents, token by token.
        LATENTS = "latents";
        /// All tokens of a row together, against features that stand together in the same way: the tokens of a
        /// feature where the flow is of whole rows, else features that are independent of each other.
        WHOLE = "whole latents";
        /// Samples of the flow: how near to features any latents can be brought by it.
        SAMPLES = "samples";
        /// As many samples of the flow together as a latent has tokens.
        WHOLE_SAMPLES = "whole samples";
    }

    names! {
        /// Every figure.
        FIGURES:
        /// The share that a classifier tells right; its standard error is beside it.
        ACCURACY = "classifier's accuracy, {} against features";
        /// How many of each are compared.
        COUNT = "points of the tests, {}";
        /// The energy distance of the distributions.
        DISTANCE = "unbiased energy distance, {} to features";
        /// What so few points show of equal distributions.
        DISTANCE_NULL = "unbiased energy distance, {} to features, 97.5 % of relabelled ones are below";
        /// The p-value of the energy test.
        ENERGY_P = "p-value of the energy test, {}";
        /// The maximum mean discrepancy, squared.
        MMD = "squared MMD, {} to features";
        /// What so few points show of equal distributions.
        MMD_NULL = "squared MMD, {} to features, 97.5 % of relabelled ones are below";
        /// The p-value of the kernel test.
        KERNEL_P = "p-value of the kernel test, {}";
        /// How far apart two of them are, over how far two features are.
        SPREAD = "mean distance of two {} over that of two features";
        /// The p-value of the spread, either way.
        SPREAD_P = "p-value of the test of the spread, {}";
        /// How often the nearest rows are of the same sample.
        NEIGHBOURS = "share of nearest neighbours in the same sample, {} and features";
        /// What so few points show of equal distributions.
        NEIGHBOURS_NULL = "share of nearest neighbours in the same sample, {} and features, 97.5 % of relabelled ones are below";
        /// The p-value of the nearest-neighbour test.
        NEIGHBOURS_P = "p-value of the nearest-neighbour test, {}";
    }
}

/// What `pretrain-flow` reports.
pub mod pretrain_flow {
    names! {
        /// Every figure.
        FIGURES:
        /// The loss that it was trained with.
        LOSS = "flow-matching loss";
        /// The loss of the exact velocity field, which none can undercut.
        FLOOR = "its floor (exact velocity, same points)";
        /// One over the other.
        LOSS_OVER_FLOOR = "loss over floor";
        /// After how many steps the weights are that early stopping takes.
        BEST_STEP = "step of the best weights";
        /// The mean NLL of points.
        NLL = "NLL (nats)";
        /// The mean NLL under the target, where its density is known.
        ANALYTIC_NLL = "analytic NLL of the same points (nats)";
        /// How far the NLL of points lies above that; its standard error is beside it.
        NLL_OVER_ANALYTIC = "NLL over the analytic one (nats)";
        /// The standard deviation of the noise that points have.
        NOISE = "standard deviation of the noise in points";
        /// The NLL of dequantised levels; its standard error is beside it.
        BITS = "bits a dimension";
        /// The same under the uniform distribution.
        UNIFORM_BITS = "bits a dimension, uniform";
        /// The same under a Gaussian with the covariance of training rows.
        GAUSSIAN_BITS = "bits a dimension, full Gaussian";
        /// The same, of the levels themselves, under a histogram of each dimension.
        HISTOGRAM_BITS = "bits a dimension, independent histograms";
        /// The mean NLL of the features that the points were.
        FEATURES_NLL = "NLL in feature space (nats)";
        /// The energy distance of samples to features.
        SAMPLES_DISTANCE = "energy distance of samples to features";
        /// The share of features that have a sample nearby.
        COVERAGE = "coverage of features by samples";
        /// The dimension that fits worst.
        WORST_MARGINAL = "energy distance of the worst dimension over that of a fresh sample";
        /// A bound on the mean NLL of sequences, their tokens and the end token counted.
        SEQUENCE_NLL = "NLL of sequences, upper bound (nats a token)";
        /// The same where each token is drawn alone.
        FREQUENCY_NLL = "NLL of sequences under frequencies of tokens (nats a token)";
        /// The mean NLL of embedded tokens with noise, a density.
        EMBEDDED_NLL = "NLL of embedded sequences with noise (nats a dimension)";
        /// The mean KL divergence of a posterior to N(0, I), for an autoencoder.
        SEQUENCE_KL = "KL divergence of posteriors to N(0, I) (nats a sequence)";
        /// Of tokens, the end token among them.
        LIKELIEST = "share of tokens that are the likeliest after those before";
        /// Of latents with fresh noise.
        LATENT_SQUARE = "mean square of latents, 1 under N(0, I)";
        /// Of latents with fresh noise.
        EXACT_NOISY = "share decoded exactly, latents with fresh noise";
        /// Of latents that sequences are encoded to.
        EXACT = "share decoded exactly";
        /// The share of samples that are sequences of the data.
        SAMPLES_IN_DATA = "share of samples that occur in the data";
        /// The share of samples that are left without repetitions.
        DIFFERENT_SAMPLES = "share of samples that differ from each other";
        /// The width of a point of an imported flow.
        WIDTH = "width d";
        /// The width of an imported network.
        NETWORK_WIDTH = "network width";
        /// The blocks of an imported network.
        NETWORK_BLOCKS = "network blocks";
    }

    /// The table of dimensions.
    pub const MARGINALS: &str = "marginals";

    names! {
        /// Columns of [`MARGINALS`].
        MARGINALS_COLUMNS:
        /// Counted from 0.
        DIMENSION = "dimension";
        /// The variance of samples.
        SAMPLE_VARIANCE = "sample_variance";
        /// The variance of features.
        FEATURE_VARIANCE = "feature_variance";
        /// The energy distance of samples to features.
        MARGINAL_DISTANCE = "energy_distance";
        /// That of as many other features.
        MARGINAL_FRESH_DISTANCE = "energy_distance_of_fresh_sample";
    }
}

/// What `score` reports of sequences.
pub mod sequences {
    names! {
        /// Every figure and column.
        FIGURES:
        /// A bound on the mean NLL of sequences.
        BOUND = "NLL of sequences, upper bound (nats a token)";
        /// The sequence.
        TEXT = "sequence";
        /// Its tokens, the end token counted.
        TOKENS = "tokens";
        /// A bound on its NLL.
        NLL = "nll_bound";
    }
}

/// What `train-autoencoder` reports.
pub mod train_autoencoder {
    names! {
        /// Every figure.
        FIGURES:
        /// The reconstruction loss that it was trained with.
        RECONSTRUCTION_LOSS = "reconstruction loss";
        /// The error of decoded means.
        ERROR = "mean squared error";
        /// The error of decoded draws.
        ERROR_OF_DRAWS = "mean squared error, decoded draws";
        /// The same of images, as a ratio.
        PSNR = "PSNR (dB)";
        /// The share of the data's variance that reconstructions explain.
        EXPLAINED = "variance explained";
        /// The variance of latents.
        VARIANCE = "latent variance, mean over dimensions";
        /// That of the dimension in which they vary least.
        LEAST_VARIANCE = "latent variance, smallest dimension";
        /// That of the dimension in which they vary most.
        MOST_VARIANCE = "latent variance, largest dimension";
        /// The variance of latents before training.
        VARIANCE_BEFORE = "latent variance before training";
        /// Dimensions that latents use.
        RANK = "effective rank of latents";
        /// Dimensions that features use.
        FEATURES_RANK = "effective rank of features";
        /// The share of features that have a latent nearby.
        COVERAGE = "coverage of features";
        /// The same with the means of posteriors as latents.
        COVERAGE_OF_MEANS = "coverage of features by posterior means";
        /// The energy distance of latents to features.
        DISTANCE = "energy distance to features";
        /// That over the distance of a fresh sample, with the means of posteriors as latents.
        MEANS_DISTANCE_OVER_FRESH = "energy distance of posterior means over that of a fresh sample";
        /// How full the emptiest mode of a mixture is.
        EMPTIEST_MODE = "latents in a mode over its mass, smallest";
        /// How full the fullest mode of a mixture is.
        FULLEST_MODE = "latents in a mode over its mass, largest";
        /// The negative evidence lower bound.
        ELBO = "negative ELBO (nats)";
        /// The same per element of data.
        ELBO_BITS = "negative ELBO (bits/dim)";
        /// Its first part.
        ELBO_RECONSTRUCTION = "of it reconstruction (nats)";
        /// Its second part; the prior is named.
        ELBO_KL = "of it KL to the prior, {} (nats)";
        /// The importance-weighted bound; rows and samples are named.
        IMPORTANCE = "importance-weighted NLL of {} rows, S = {} (nats)";
        /// How far it lies below a weaker bound, which is named.
        IMPORTANCE_LESS = "importance-weighted NLL of {} rows, S = {} less {} (standard errors)";
        /// The exact NLL of the same rows.
        EXACT = "exact NLL of {} rows, linear decoder (nats)";
        /// How far the strongest bound lies above it.
        LESS_EXACT = "importance-weighted NLL of {} rows, {} less the exact one (standard errors)";
    }

    /// The table of variances.
    pub const VARIANCES: &str = "variances";
    /// The table of moving points.
    pub const TRAJECTORY: &str = "trajectory";

    names! {
        /// Columns of [`VARIANCES`].
        VARIANCES_COLUMNS:
        /// Counted from 0.
        DIMENSION = "dimension";
        /// The variance of latents.
        LATENT_VARIANCE = "latent_variance";
        /// The variance of features.
        FEATURE_VARIANCE = "feature_variance";
    }

    names! {
        /// Columns of [`TRAJECTORY`].
        TRAJECTORY_COLUMNS:
        /// Steps done.
        STEP = "step";
        /// Counted from 0.
        POINT = "point";
        /// A coordinate, counted from 0.
        COORDINATE = "y{}";
    }
}

/// What `transport` reports, besides what `train-autoencoder` says of its latents.
pub mod transport {
    names! {
        /// Every figure.
        FIGURES:
        /// How far latents are from themselves after the way there and back, over their spread.
        ROUND_TRIP = "round trip error (relative)";
        /// The same of the latent that fares worst.
        WORST_ROUND_TRIP = "round trip error of the worst latent (relative)";
        /// The mean squared error of the reconstructions that the autoencoder keeps.
        ERROR = "mean squared error of {} kept reconstructions";
        /// The same, decoded after the way there and back.
        ERROR_AFTER = "mean squared error of {} kept reconstructions, there and back";
        /// How much larger that is.
        ERROR_CHANGE = "change of that error by the way there and back (%)";
        /// How far decoded latents move by the way there and back.
        DECODED_CHANGE = "mean squared change of decoded latents by the way there and back";
        /// The smallest eigenvalue of the covariance of latents.
        LEAST_EIGENVALUE = "smallest eigenvalue of the latents' covariance";
        /// The largest.
        MOST_EIGENVALUE = "largest eigenvalue of the latents' covariance";
        /// What the way there costs.
        OWN_EVALUATIONS = "evaluations a latent, flow of the latents";
        /// The same of the other flow, of all tokens at once.
        TARGET_EVALUATIONS = "evaluations a latent, flow of the target";
        /// Time of the way there.
        SECONDS = "seconds a latent";
        /// The share that a classifier tells right of the noise that latents become and fresh noise.
        NOISE_ACCURACY = "classifier's accuracy, noise of latents against fresh noise";
        /// The energy distance of both.
        NOISE_DISTANCE = "unbiased energy distance, noise of latents to fresh noise";
        /// What so few points show of equal distributions.
        NOISE_DISTANCE_NULL = "unbiased energy distance, noise of latents to fresh noise, 97.5 % of relabelled ones are below";
        /// The p-value of the energy test.
        NOISE_ENERGY_P = "p-value of the energy test, noise of latents";
        /// The p-value of the kernel test.
        NOISE_KERNEL_P = "p-value of the kernel test, noise of latents";
        /// The p-value of the nearest-neighbour test.
        NOISE_NEIGHBOURS_P = "p-value of the nearest-neighbour test, noise of latents";
        /// How many of each are compared.
        NOISE_COUNT = "points of the tests, noise of latents";
    }
}

/// What `estimate-nll` reports. Figures of [`REGION_FIGURES`](estimate_nll::REGION_FIGURES) and of
/// [`AGREEMENT`](estimate_nll::AGREEMENT) are of a region, these with a weighting before them.
pub mod estimate_nll {
    names! {
        /// Every region.
        REGIONS:
        /// Test features of the flow, which chose nothing.
        TEST_FEATURES = "test features";
        /// Held-out features of the flow, where it has no test part.
        HELD_OUT_FEATURES = "held-out features";
        /// Latents of test data.
        TEST_LATENTS = "test latents";
        /// The means of the posteriors of the latents that are shown, where these are draws.
        MEANS = "posterior means";
        /// Latents of held-out data, by which sweeps may choose.
        HELD_OUT_LATENTS = "held-out latents";
        /// Latents of training data.
        TRAINING_LATENTS = "training latents";
        /// Points that encode nothing, as the training left them.
        FREE_POINTS = "free points";
        /// Latents of test data of an autoencoder without alignment.
        UNALIGNED = "unaligned latents";
        /// Uniform over a box around the features.
        BOX = "uniform box";
        /// A regular grid over that box, in two dimensions.
        GRID = "grid";
    }

    /// The features that are shown: the first of these that there is.
    pub const FEATURES: [&str; 2] = [TEST_FEATURES, HELD_OUT_FEATURES];
    /// The latents that are shown: the first of these that there is.
    pub const LATENTS: [&str; 3] = [TEST_LATENTS, FREE_POINTS, HELD_OUT_LATENTS];

    names! {
        /// What is compared.
        QUANTITIES:
        /// The NLL by the probability-flow ODE.
        ODE = "ODE NLL";
        /// The NLL of a prior that has it in closed form.
        EXACT = "exact NLL";
        /// The NLL under the target, where its density is known.
        ANALYTIC = "analytic NLL";
        /// The exact NLL under another experiment's prior over the same features.
        WITNESS = "witness NLL";
        /// The loss under the uniform weighting.
        UNIFORM_LOSS = "alignment loss (uniform, sum)";
        /// The loss under the likelihood weighting.
        BOUND = "likelihood-weighted bound";
        /// What follows the name of a loss of the exact velocity field.
        EXACT_VELOCITY = "exact velocity";
        /// What stands before figures of the one NLL against the other.
        ODE_AGAINST_ANALYTIC = "ODE against analytic";
        /// The same, of a prior that has its NLL in closed form.
        EXACT_AGAINST_ANALYTIC = "exact against analytic";
        /// The same, of the witness.
        WITNESS_AGAINST_ANALYTIC = "witness against analytic";
        /// What stands before figures of a surrogate, which is named, against the witness.
        AGAINST_WITNESS = "{} against witness";
    }

    names! {
        /// Figures of a region.
        REGION_FIGURES:
        /// How many points it has.
        POINTS = "points";
        /// Their mean NLL.
        NLL = "mean NLL, ODE (nats)";
        /// The same under a prior that has it in closed form.
        NLL_IN_CLOSED_FORM = "mean NLL, exact (nats)";
        /// Their mean NLL under the witness.
        NLL_OF_WITNESS = "mean NLL, witness (nats)";
        /// How many of them the witness scores as one, where that is more than one.
        TOGETHER = "points of one NLL of the witness";
        /// How well that of one point is known.
        PROBE_ERROR = "standard error of a point's NLL, from the probes";
        /// Their mean NLL under the target.
        ANALYTIC_NLL = "mean NLL, analytic";
        /// How many lie where the target is 0.
        OUTSIDE = "points where the density is 0, left out";
        /// Their mean NLL where they are dequantised levels.
        BITS = "bits a dimension";
        /// The noise that was added to features, as in the training of the flow.
        NOISE = "standard deviation of the noise in points";
        /// Their mean loss under the uniform weighting.
        MEAN_UNIFORM_LOSS = "mean alignment loss (uniform, sum)";
        /// Their mean loss under the likelihood weighting.
        MEAN_BOUND = "mean NLL, likelihood-weighted bound";
        /// What the flow says of them as a hierarchical VAE, whose levels are counted.
        ELBO = "negative ELBO, {} levels (nats)";
        /// How far that is above their NLL by the ODE.
        OVER_ODE = "negative ELBO, {} levels, over the NLL (nats)";
        /// The accuracy of the solver, of a region and of all.
        HALVED = "largest change of an NLL with halved steps (nats)";
    }

    names! {
        /// How a surrogate follows an NLL.
        AGREEMENT:
        /// Linear correlation.
        PEARSON = "Pearson";
        /// Rank correlation.
        SPEARMAN = "Spearman";
        /// Rank correlation by pairs.
        KENDALL = "Kendall";
        /// The slope of the NLL on the surrogate.
        SLOPE = "slope";
        /// The mean difference.
        BIAS = "bias";
        /// The root mean square of differences.
        RMSE = "RMSE";
        /// The agreement of gradients.
        COSINE = "gradient cosine";
        /// Whether the surrogate can be trusted, as a number.
        VERDICT = "verdict (2 holds, 1 ranks only, 0 fails)";
    }

    names! {
        /// Figures of all regions together.
        FIGURES:
        /// How much less likely latents are than features.
        GAP = "NLL gap, latents over features (nats)";
        /// How far the NLL of latents lies below that of latents without alignment.
        FALL_FROM_UNALIGNED = "fall of the NLL from unaligned latents (nats)";
        /// How far the loss of latents lies below that before training.
        FALL_SINCE_TRAINING = "fall of the alignment loss since before training";
        /// What turns an NLL of points into one of features.
        TO_FEATURE_SPACE = "add for NLL in feature space (nats)";
        /// What the solver cost.
        EVALUATIONS = "divergence evaluations a point";
        /// How often it did not reach its tolerance; the most intervals are named.
        UNSETTLED = "points whose quadrature stopped at {} intervals";
        /// Draws of the surrogates.
        DRAWS = "draws behind a point's loss";
        /// What their errors come from.
        RULES = "independent rules among them";
        /// The divergence by two methods; the other method and the numbers are named.
        DIVERGENCE = "divergence, tangents against {} in {} (relative)";
        /// The estimate of the divergence by probes.
        HUTCHINSON = "Hutchinson's mean NLL against the exact one (standard errors)";
        /// How far points are from themselves after a round trip, of a prior that has its NLL in closed form.
        ROUND_TRIP = "largest error of a round trip to noise and back";
        /// The NLL by the noise that points lead to, against the NLL itself.
        FROM_NOISE = "largest difference of an NLL and that from noise and log|det| (nats)";
    }

    /// By what collapse is known, the first of these figures that there is; each has a standard error beside it.
    pub const FALLS: [&str; 2] = [FALL_FROM_UNALIGNED, FALL_SINCE_TRAINING];

    /// The table of points.
    pub const POINTS_TABLE: &str = "points";
    /// The table of agreements.
    pub const AGREEMENT_TABLE: &str = "agreement";
    /// The table of the flow as a hierarchical VAE, of test features.
    pub const HIERARCHY_TABLE: &str = "hierarchy";

    names! {
        /// Columns of [`HIERARCHY_TABLE`], means over points in nats.
        HIERARCHY_COLUMNS:
        /// How many levels.
        LEVELS = "levels";
        /// The negative ELBO.
        MEAN_ELBO = "negative_elbo";
        /// Its standard error over points.
        MEAN_ELBO_ERROR = "negative_elbo_error";
        /// How far it is above the NLL by the ODE.
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
        /// Counted from 0 in each region.
        POINT = "point";
        /// Points that belong together.
        GROUP = "group";
        /// The NLL by the ODE.
        NLL_ODE = "nll_ode";
        /// Whether it reached its tolerance.
        NLL_ODE_SETTLED = "nll_ode_settled";
        /// The NLL of a prior that has it in closed form.
        NLL_EXACT = "nll_exact";
        /// Its standard error, where probes estimate it.
        NLL_ODE_ERROR = "nll_ode_error";
        /// The NLL of the feature that a point is of.
        NLL_FEATURE_SPACE = "nll_feature_space";
        /// The NLL under the target.
        NLL_ANALYTIC = "nll_analytic";
        /// The NLL under the witness, of all points of a group that it scores together.
        NLL_WITNESS = "nll_witness";
        /// The loss under a weighting, which is named.
        LOSS = "loss_{}";
        /// Its standard error.
        LOSS_ERROR = "loss_{}_error";
        /// The loss of the exact velocity field.
        LOSS_EXACT_VELOCITY = "loss_{}_exact_velocity";
        /// A coordinate, counted from 0.
        COORDINATE = "y{}";
    }

    names! {
        /// Columns of [`AGREEMENT_TABLE`] besides [`REGION`].
        AGREEMENT_COLUMNS:
        /// What is compared.
        SURROGATE = "surrogate";
        /// With what.
        REFERENCE = "reference";
        /// By what figure.
        FIGURE = "figure";
        /// Its value.
        VALUE = "value";
        /// The low end of its interval.
        LOW = "low";
        /// The high end of its interval.
        HIGH = "high";
    }
}

/// Figures with their stage before them, as comparisons and sweeps name them.
pub mod of_stage {
    names! {
        /// All of these.
        FIGURES:
        /// The reconstruction error of test rows.
        ERROR = "train-autoencoder: test mean squared error";
        /// The NLL of latents.
        NLL = "estimate-nll: test latents: mean NLL, ODE (nats)";
        /// What that is measured against.
        FEATURES_NLL = "estimate-nll: test features: mean NLL, ODE (nats)";
        /// How much less likely latents are than that.
        GAP = "estimate-nll: NLL gap, latents over features (nats)";
    }
}

/// What `sample` reports.
pub mod sample {
    names! {
        /// Every figure.
        FIGURES:
        /// What a sample costs.
        SECONDS = "seconds a sample";
        /// How often a sample was not finite.
        AGAIN = "samples that were not finite and were drawn again";
        /// Calls of a network for each sample.
        EVALUATIONS = "network evaluations a sample";
        /// Of them, of each block where tokens are drawn together, counted from the data.
        BLOCK_EVALUATIONS = "network evaluations a sample, block {}";
        /// Of samples to test data, in the classifier's features.
        DISTANCE = "Fréchet distance of samples";
        /// Of held-out data to test data.
        DATA_DISTANCE = "Fréchet distance between held-out and test data";
        /// The share of samples within reach of data.
        PRECISION = "precision of samples";
        /// The share of data within reach of samples.
        RECALL = "recall of samples";
        /// The share of test data within reach of held-out data.
        DATA_RECALL = "recall of held-out data";
        /// The share of samples that the classifier finds to be of the class that they were asked to be of.
        CLASS_ACCURACY = "class accuracy of samples";
        /// The root mean square of the difference to the nearest row of the training part, mean over samples.
        NEAREST = "distance of samples to the nearest training row";
        /// The same of rows that were not trained on: what no copy is.
        UNSEEN_NEAREST = "distance of unseen rows to the nearest training row";
        /// The share of samples that are nearer to a training row than 95 % of unseen rows are; 5 % where samples are as far
        /// from training rows as new data.
        NEAR = "share of samples nearer to a training row than 95 % of unseen rows";
    }
}

/// What `evaluate-likelihood` reports: the same figures of any model, so that tables of models have one column of each.
pub mod evaluate_likelihood {
    names! {
        /// Every figure.
        FIGURES:
        /// The NLL of whole levels, a probability.
        LEVELS = "NLL of levels (nats)";
        /// The same per number of a row of data.
        BITS = "bits a dimension";
        /// Whether it is that of levels or of levels and noise, which is larger.
        DEQUANTISED = "levels (0 as they are, 1 dequantised)";
        /// The NLL of real numbers.
        DENSITY = "NLL as a density (nats)";
        /// What a Bernoulli decoder makes of grey values.
        GREY = "cross-entropy of grey values, no likelihood (nats)";
        /// What kind of number the NLL is.
        KIND = "kind of number (0 exact, 1 ODE, 2 bound, 3 importance-weighted, 4 negative ELBO)";
        /// How many rows it is of.
        ROWS = "rows";
        /// S.
        SAMPLES = "importance samples a row";
        /// How the log-density of latents is computed.
        PRIOR = "prior of latents (0 closed form, 1 ODE, 2 bound)";
        /// What the same draws say one by one.
        ELBO = "negative ELBO (nats)";
        /// The price of amortisation, and of the posterior's kind.
        GAP = "negative ELBO less importance-weighted NLL (nats)";
        /// What the draws leave uncertain of the mean.
        DRAWS_ERROR = "standard error of the NLL over its draws (nats)";
        /// The same of the row whose NLL is known worst.
        WORST_DRAWS_ERROR = "standard error of a row's NLL over its draws, largest (nats)";
        /// The mean effective sample size.
        EFFECTIVE = "effective sample size, mean over rows";
        /// The smallest.
        WORST_EFFECTIVE = "effective sample size, worst row";
        /// Rows whose effective sample size is too small.
        FEW = "rows with an effective sample size below 10";
        /// Numbers in a row of data.
        DIMENSIONS = "numbers in a row of data";
        /// Numbers in what stands for it in the model.
        LATENTS = "numbers in a latent";
        /// How long the NLL of these rows took.
        SECONDS = "seconds for the NLL";
    }

    /// What progress is called.
    pub const PROGRESS: &str = "importance weights";
    /// The table of rows.
    pub const TABLE: &str = "likelihoods";

    names! {
        /// Columns of [`TABLE`].
        COLUMNS:
        /// Counted from 0.
        ROW = "row";
        /// In nats.
        ROW_NLL = "nll";
        /// Over draws, by the delta method.
        ROW_ERROR = "nll_error";
        /// The negative ELBO by the same draws.
        ROW_ELBO = "negative_elbo";
        /// The effective sample size.
        ROW_EFFECTIVE = "effective_sample_size";
    }
}

/// What `evaluate-latents` reports.
pub mod evaluate_latents {
    names! {
        /// Every figure.
        FIGURES:
        /// How well classes are told by a hyperplane.
        PROBE_ACCURACY = "linear probe accuracy";
        /// Of decoded samples to data.
        SAMPLES_DISTANCE = "Fréchet distance of samples";
        /// Of reconstructions to data.
        RECONSTRUCTIONS_DISTANCE = "Fréchet distance of reconstructions";
        /// Of data to other data.
        DATA_DISTANCE = "Fréchet distance between held-out and test data";
    }
}

/// What `optimise-latents` reports.
pub mod optimise_latents {
    names! {
        /// Every figure.
        FIGURES:
        /// The best score of all, those of the start among them.
        BEST = "best score";
        /// The best score of the start.
        BEST_OF_START = "best score of the start";
        /// Calls of the objective that the budget paid for.
        CALLS = "calls of the objective";
        /// The share of calls that had no score.
        INFEASIBLE = "infeasible share of calls";
        /// Sequences that it started from.
        START = "sequences of the start";
        /// The share of drawn sequences that the start left out for being among the best.
        LEFT_OUT = "share of sequences left out of the start as the best";
        /// Rounds of proposals.
        ROUNDS = "rounds";
        /// How long proposals took, what is fitted for them included.
        PROPOSING = "seconds of proposing";
        /// How long scores took.
        SCORING = "seconds of the objective";
        /// The share of sequences that come back from their latents as they were.
        DECODED = "share of evaluated sequences that decode to themselves";
        /// The mean of `|score(decode(encode(x))) - score(x)|` over them.
        ENCODED_DISCREPANCY = "value discrepancy at encoded latents";
        /// The mean over proposals of what the surrogate expects of a chosen latent, less what it expects of its sequence's.
        PROPOSED_DISCREPANCY = "value discrepancy at proposed latents, of expected scores";
        /// The mean over proposals of how far these two latents are from each other.
        MOVED = "distance of proposed latents from those of their sequences (root mean square)";
    }

    /// The table of evaluations.
    pub const TABLE: &str = "evaluations";

    names! {
        /// Columns of [`TABLE`].
        COLUMNS:
        /// What was scored.
        TEXT = "text";
        /// Its score; NaN where it is infeasible.
        SCORE = "score";
        /// Whether it has one.
        FEASIBLE = "feasible";
        /// The round in which it was proposed, 0 for the start.
        ROUND = "round";
        /// The trust region that it is from, NaN where there is none.
        REGION = "region";
        /// The score that was expected, NaN where nothing was.
        PREDICTED = "predicted";
        /// The standard deviation of that.
        UNCERTAINTY = "uncertainty";
        /// How far the latent that was chosen is from that of its sequence, NaN where there is none.
        MOVED_BY = "moved";
        /// By how much the scores that were expected of these two differ.
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
