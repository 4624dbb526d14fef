//! An autoencoder on disk: `autoencoder.safetensors`, with a header from which it can be rebuilt.

use super::config::AutoencoderHeader;
use super::model::Autoencoder;
use crate::error::{Error, Result};
use crate::persist::{header_json, load_weights, read_header, save_weights};
use crate::problems::Problems;
use crate::random::Streams;
use burn::module::Module;
use burn::tensor::Device;
use std::path::Path;

/// The file in an artifact's directory.
const FILE: &str = "autoencoder.safetensors";
/// The format; readers refuse others.
const FORMAT: &str = "latent-align autoencoder 1";
/// How to obtain a readable file.
const REMEDY: &str = "train the autoencoder again";

impl Autoencoder {
    /// Writes the weights and `header` into the directory `dir`.
    ///
    /// # Errors
    /// A file error if the weights cannot be written.
    pub fn save(&self, header: &AutoencoderHeader, dir: &Path) -> Result<()> {
        save_weights(self, &dir.join(FILE), &header_json(FORMAT, header))
    }

    /// Reads the autoencoder in the directory `dir` onto `device` with frozen weights.
    ///
    /// # Errors
    /// Input errors for a directory without an autoencoder, such as that of free points.
    pub fn load(dir: &Path, device: &Device) -> Result<(Self, AutoencoderHeader)> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Err(Error::input(format!(
                "{}: found no {FILE}, expected a trained autoencoder; free points (`architecture: \
                 {{kind: points}}`) have none",
                dir.display()
            )));
        }
        let header = AutoencoderHeader::read(&path)?;
        let mut problems = Problems::new();
        problems.section("latent", |p| header.latent.check(p));
        (header.posterior).check(header.latent.shape(), &mut problems);
        let outputs = header.latent.tokens as u128 * header.latent.width as u128;
        (header.architecture).check_stored(
            problems,
            header.shape,
            header.maximum,
            outputs,
            &path,
            REMEDY,
        )?;
        let mut autoencoder = Self::new(&header, Streams::new(0), device).ok_or_else(|| {
            Error::input(format!(
                "{}: found free points, expected an autoencoder of data",
                path.display()
            ))
        })?;
        load_weights(&mut autoencoder, &path)?;
        Ok((autoencoder.no_grad(), header))
    }
}

impl AutoencoderHeader {
    /// The header of the autoencoder in the file `path`.
    ///
    /// # Errors
    /// File errors; [`Error::Input`] for a file of another format.
    pub fn read(path: &Path) -> Result<Self> {
        read_header(path, FORMAT, REMEDY)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{LatentConfig, Reconstruction};
    use super::*;
    use crate::architectures::ArchitectureConfig;
    use crate::data::DataShape;
    use crate::posteriors::PosteriorConfig;
    use crate::tensors::{from_f32, to_f32};
    use crate::training::perturb;
    use burn::tensor::Tensor;

    #[test]
    fn a_stored_autoencoder_encodes_and_decodes_as_before() {
        let device = Device::flex();
        let header = AutoencoderHeader {
            architecture: ArchitectureConfig::Convolutional {
                channels: vec![4, 6],
            },
            latent: LatentConfig {
                tokens: 2,
                width: 3,
                top: None,
            },
            posterior: PosteriorConfig::default(),
            reconstruction: Reconstruction::Bernoulli,
            shape: DataShape {
                channels: 3,
                height: 5,
                width: 4,
            },
            maximum: 16.0,
            binarise: None,
        };
        let autoencoder = Autoencoder::new(&header, Streams::new(1), &device).unwrap();
        let autoencoder = perturb(autoencoder, 0.3, Streams::new(2)); // biases are initially zero
        let dir = tempfile::tempdir().unwrap();
        autoencoder.save(&header, dir.path()).unwrap();
        let (loaded, read) = Autoencoder::load(dir.path(), &device).unwrap();
        assert_eq!(read, header);

        let images = Streams::new(3).normal("images", 0, 7 * 60);
        let images: Tensor<4> = from_f32(images, [7, 3, 5, 4], &device);
        let through = |model: &Autoencoder| {
            let latents = model.encode(images.clone()).centre();
            let decoded = to_f32(model.decode(latents.clone())).unwrap();
            (to_f32(latents).unwrap(), decoded)
        };
        assert_eq!(through(&autoencoder), through(&loaded));
    }

    #[test]
    fn a_header_of_what_the_file_does_not_hold_is_refused_before_memory_is_taken() {
        let device = Device::flex();
        let good = AutoencoderHeader {
            architecture: ArchitectureConfig::Dense {
                widths: vec![4],
                gated: false,
            },
            latent: LatentConfig {
                tokens: 1,
                width: 2,
                top: None,
            },
            posterior: PosteriorConfig::default(),
            reconstruction: Reconstruction::Mse,
            shape: DataShape {
                channels: 3,
                height: 1,
                width: 1,
            },
            maximum: 1.0,
            binarise: None,
        };
        let autoencoder = Autoencoder::new(&good, Streams::new(1), &device).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let refused = |change: &dyn Fn(&mut AutoencoderHeader), what: &str| {
            let mut header = good.clone();
            change(&mut header);
            autoencoder.save(&header, dir.path()).unwrap();
            let error = Autoencoder::load(dir.path(), &device).unwrap_err();
            assert!(error.to_string().contains(what), "{what}: {error}");
        };
        let dense = |widths: &[usize]| ArchitectureConfig::Dense {
            widths: widths.to_vec(),
            gated: false,
        };
        let convolutional = ArchitectureConfig::Convolutional {
            channels: vec![4096; 2],
        };
        refused(
            &|h| h.architecture = dense(&[usize::MAX]),
            "architecture.widths",
        );
        refused(&|h| h.architecture = dense(&[65_536; 2]), "do not fit");
        refused(&|h| h.architecture = convolutional.clone(), "do not fit");
        refused(&|h| h.latent.width = 65_536, "do not fit");
        refused(&|h| h.latent.tokens = 0, "latent.tokens");
        refused(&|h| h.shape.channels = usize::MAX, "shape.channels");
        refused(&|h| h.shape.height = 1 << 26, "do not fit");
        refused(&|h| h.shape.width = 0, "shape.width");
        refused(&|h| h.maximum = 0.0, "maximum");
        autoencoder.save(&good, dir.path()).unwrap();
        assert!(Autoencoder::load(dir.path(), &device).is_ok());
    }

    #[test]
    fn a_directory_without_an_autoencoder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Autoencoder::load(dir.path(), &Device::flex()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("found no autoencoder.safetensors")
        );
    }
}
