//! The artifacts that a stage reads, whether or not they exist yet.

use crate::error::{Error, Result};
use crate::priors::{self, PointShape};
use crate::problems::quoted;
use latent_align_hdf5::closest;
use std::any::Any;
use std::path::{Path, PathBuf};

/// Role of the prior.
pub const FLOW: &str = "flow";
/// Role of the autoencoder.
pub const AUTOENCODER: &str = "autoencoder";
/// Role of the transport of latents to the flow.
pub const TRANSPORT: &str = "transport";
/// Role of the classifier that judges latents.
pub const CLASSIFIER: &str = "classifier";

/// An artifact that a stage reads.
#[derive(Debug)]
pub struct Artifact {
    /// Its role for the reader.
    pub role: &'static str,
    /// Name in messages: stage and fingerprint.
    pub name: String,
    /// Its directory, which may not exist yet.
    pub dir: PathBuf,
    /// Whether it exists.
    pub standing: Standing,
    /// The section of the stage that makes it; None for a finished flow named by the experiment.
    pub config: Option<Box<dyn Any>>,
}

/// Whether an artifact exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It exists.
    Made,
    /// A stage will make it.
    Coming {
        /// The shape of the points of its flow, if known.
        points: Option<PointShape>,
    },
}

/// The artifacts that a stage reads.
#[derive(Debug)]
pub struct Upstream(pub Vec<Artifact>);

impl Upstream {
    fn get(&self, role: &str) -> Option<&Artifact> {
        self.0.iter().find(|artifact| artifact.role == role)
    }

    fn needed(&self, role: &str) -> Result<&Artifact> {
        (self.get(role)).ok_or_else(|| Error::input(format!("no {role} to read")))
    }

    /// The directory of the artifact read as `role`.
    ///
    /// # Errors
    /// An input error if there is none.
    pub fn dir(&self, role: &str) -> Result<&Path> {
        self.needed(role).map(|artifact| artifact.dir.as_path())
    }

    /// The same for an optional artifact.
    pub fn dir_if_any(&self, role: &str) -> Option<&Path> {
        self.get(role).map(|artifact| artifact.dir.as_path())
    }

    /// The section, of type `T`, of the stage that makes the artifact read as `role`; None if there is no artifact
    /// or no stage makes it.
    pub fn config<T: Any>(&self, role: &str) -> Option<&T> {
        self.get(role)?.config.as_deref()?.downcast_ref()
    }

    /// The directory of the artifact read as `role`; None if it does not exist yet.
    ///
    /// # Errors
    /// As [`Self::dir`].
    pub fn made(&self, role: &str) -> Result<Option<&Path>> {
        let artifact = self.needed(role)?;
        Ok((artifact.standing == Standing::Made).then_some(artifact.dir.as_path()))
    }

    /// The path of the file `name`, requested by the key `key`, in the artifact read as `role`; None if the
    /// artifact does not exist yet.
    ///
    /// # Errors
    /// An input error if it has no such file, listing the files it has.
    pub fn file(&self, role: &str, key: &str, name: &Path) -> Result<Option<PathBuf>> {
        let Some(dir) = self.made(role)? else {
            return Ok(None);
        };
        let path = dir.join(name);
        if path.is_file() {
            return Ok(Some(path));
        }
        let mut held: Vec<String> = (dir.read_dir().into_iter().flatten().flatten())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(".h5"))
            .collect();
        held.sort();
        let near = closest(&name.to_string_lossy(), &held);
        Err(Error::input(format!(
            "{key}: found {}, expected a file of {}, which holds {}{}",
            name.display(),
            self.needed(role)?.name,
            quoted(&held),
            near.map_or(String::new(), |near| format!("; did you mean `{near}`?")),
        )))
    }

    /// The shape of the points of the flow read as `role`; None if it is not known yet.
    ///
    /// # Errors
    /// File errors; input errors if the artifact is not a flow.
    pub fn points(&self, role: &str) -> Result<Option<PointShape>> {
        let Artifact { dir, standing, .. } = self.needed(role)?;
        match standing {
            Standing::Coming { points } => Ok(*points),
            Standing::Made => match priors::stored(dir) {
                Ok(stored) => Ok(Some(stored.shape)),
                Err(e) => Err(e.under(&format!("reading the flow in {}", dir.display()))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(dir: &Path, standing: Standing) -> Upstream {
        Upstream(vec![Artifact {
            role: "features",
            name: "train-autoencoder 0123".into(),
            dir: dir.to_owned(),
            standing,
            config: None,
        }])
    }

    #[test]
    fn a_file_is_found_once_it_is_made_and_a_wrong_name_is_answered_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = |standing, name: &str| {
            let upstream = upstream(dir.path(), standing);
            upstream.file("features", "pretrain_flow.features.file", Path::new(name))
        };
        let coming = Standing::Coming { points: None };
        assert_eq!(file(coming, "latents.h5").unwrap(), None);
        for name in ["latents.h5", "initial_latents.h5", "model.safetensors"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = file(Standing::Made, "latents.h5").unwrap();
        assert_eq!(found, Some(dir.path().join("latents.h5")));
        let told = file(Standing::Made, "latent.h5").unwrap_err().to_string();
        assert_eq!(
            told,
            "pretrain_flow.features.file: found latent.h5, expected a file of train-autoencoder 0123, which \
             holds `initial_latents.h5` or `latents.h5`; did you mean `latents.h5`?"
        );
    }

    #[test]
    fn what_is_coming_has_the_shape_that_its_stage_says() {
        let shape = PointShape {
            tokens: 2,
            width: 3,
        };
        let coming = Standing::Coming {
            points: Some(shape),
        };
        let coming = upstream(Path::new("/nowhere"), coming);
        assert_eq!(coming.points("features").unwrap(), Some(shape));
        assert!(
            upstream(Path::new("/nowhere"), Standing::Made)
                .points("features")
                .is_err()
        );
        let told = coming.dir(FLOW).unwrap_err().to_string();
        assert_eq!(told, "no flow to read");
    }
}
