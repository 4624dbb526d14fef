//! The models that a file's latents or points belong to, recorded as attributes of their dataset.

use crate::data::{Attribute, Dataset};
use crate::error::{Error, Result};

const AUTOENCODER: &str = "autoencoder";
const FLOW: &str = "flow";
const TRANSPORT: &str = "transport";

/// Fingerprints of the models that latents or points belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The autoencoder of the latents.
    pub autoencoder: Option<String>,
    /// The flow of the points, or the one the autoencoder is aligned with.
    pub flow: Option<String>,
    /// The transport that the latents have passed through.
    pub transport: Option<String>,
}

impl Lineage {
    /// Reads the attributes of `dataset`; empty for files of other programs.
    pub fn of(dataset: &Dataset) -> Self {
        Self {
            autoencoder: dataset.text_attribute(AUTOENCODER),
            flow: dataset.text_attribute(FLOW),
            transport: dataset.text_attribute(TRANSPORT),
        }
    }

    /// The attributes that record it, with the space and units that follow.
    pub fn attributes(&self) -> Vec<(String, Attribute)> {
        let text = |name: &str, text: &str| (name.to_owned(), Attribute::Text(text.to_owned()));
        let space = match (&self.flow, &self.autoencoder) {
            (Some(_), _) => "points of the flow",
            (None, _) => "latents of the autoencoder, which is aligned with no flow",
        };
        let mut attributes = vec![
            text("space", space),
            text("units", "none: standardised by the flow's normalisation"),
        ];
        if self.flow.is_none() {
            attributes[1] = text(
                "units",
                "none: determined by the training of the autoencoder",
            );
        }
        for (name, fingerprint) in [
            (AUTOENCODER, &self.autoencoder),
            (FLOW, &self.flow),
            (TRANSPORT, &self.transport),
        ] {
            attributes.extend(fingerprint.iter().map(|value| text(name, value)));
        }
        attributes
    }

    /// Refuses to decode latents in `dataset` with an autoencoder of the lineage `own` if they are known to belong
    /// to another autoencoder, to have passed through another transport, or to be points of a flow that it is not
    /// aligned with.
    ///
    /// # Errors
    /// An input error.
    pub fn refuse_to_decode(&self, own: &Self, dataset: &Dataset) -> Result<()> {
        let place = dataset.describe();
        match (&self.autoencoder, &self.flow) {
            (Some(theirs), _) if own.autoencoder.as_ref() != Some(theirs) => {
                Err(Error::input(format!(
                    "{place}: found latents of the autoencoder {theirs}, expected those of {}; decode them \
                     with `latent-align decode {theirs}`, or encode the data with this run",
                    own.autoencoder.as_deref().unwrap_or("another one")
                )))
            }
            (Some(autoencoder), _) if own.transport != self.transport => {
                Err(Error::input(match &self.transport {
                    Some(theirs) => format!(
                        "{place}: found latents that went through the transport {theirs}, expected latents {}; \
                         decode them with `latent-align decode {theirs}`",
                        own.transport
                            .as_ref()
                            .map_or("of the autoencoder itself".to_owned(), |own| {
                                format!("that went through {own}")
                            })
                    ),
                    None => format!(
                        "{place}: found latents of the autoencoder itself, expected latents that \
                         went through its transport {}; decode these with `latent-align decode \
                         {autoencoder}`, or encode the data with this run",
                        own.transport.as_deref().unwrap_or_default()
                    ),
                }))
            }
            (None, Some(theirs)) if own.flow.as_ref() != Some(theirs) => {
                Err(Error::input(format!(
                    "{place}: found points of the flow {theirs}, expected latents of an autoencoder that is \
                 aligned with it; this one is aligned with {}",
                    own.flow.as_deref().unwrap_or("no flow")
                )))
            }
            _ => Ok(()),
        }
    }
}
