//! Detection of experiments that read each other in a circle.

use crate::store::Stage;
use latent_align_stages::Error;
use std::path::Path;

/// The stages whose upstream is being resolved, from the requested one inwards.
#[derive(Debug, Default)]
pub struct Chain {
    links: Vec<(usize, Stage)>,
}

impl Chain {
    /// Whether `stage` of the experiment `member` is being resolved, so that it would read itself.
    pub fn holds(&self, member: usize, stage: Stage) -> bool {
        self.links.contains(&(member, stage))
    }

    /// Enters a stage.
    pub fn enter(&mut self, member: usize, stage: Stage) {
        self.links.push((member, stage));
    }

    /// Leaves the innermost stage.
    pub fn leave(&mut self) {
        self.links.pop();
    }

    /// The error that `stage` of `member`, which is in this chain, is read again; `file` maps a
    /// member to its file.
    pub fn closed_by<'a>(
        &self,
        member: usize,
        stage: Stage,
        file: impl Fn(usize) -> &'a Path,
    ) -> Error {
        let closing = (member, stage);
        let inside = self.links.iter().skip_while(|link| **link != closing);
        let steps: Vec<String> = inside
            .chain([&closing])
            .map(|(member, stage)| format!("{} of {}", stage.section(), file(*member).display()))
            .collect();
        Error::input(format!(
            "experiments read each other in a circle:\n  {}\nlet one of them read a file, or a stage \
             that needs none of the others",
            steps.join("\n  which reads ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_is_told_without_the_way_to_it() {
        let mut chain = Chain::default();
        chain.enter(0, Stage::EstimateNll);
        chain.enter(1, Stage::TrainAutoencoder);
        chain.enter(1, Stage::PretrainFlow);
        assert!(chain.holds(1, Stage::TrainAutoencoder));
        assert!(!chain.holds(0, Stage::TrainAutoencoder));
        let files = ["a.yaml", "b.yaml"].map(Path::new);
        let told = chain.closed_by(1, Stage::TrainAutoencoder, |m| files[m]);
        let told = told.to_string();
        assert!(!told.contains("a.yaml"), "{told}");
        assert_eq!(
            told.matches("train_autoencoder of b.yaml").count(),
            2,
            "{told}"
        );
    }
}
