//! What a file of another format offers: arrays, and their values block by block.

use latent_align_hdf5::{Number, OutData};
use latent_align_stages::Result;

/// An array of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its name, if the format has names.
    pub name: Option<String>,
    /// The first axis is that of the items.
    pub shape: Vec<usize>,
    /// The type that its values are stored with.
    pub number: Number,
    /// Names of the classes 0 to K - 1, if these are labels and the format has names.
    pub classes: Vec<String>,
}

impl Array {
    /// Whether it can be labels: one integer an item.
    pub fn can_be_labels(&self) -> bool {
        self.shape.len() == 1 && self.number == Number::I64
    }
}

/// Takes the next values of an array, given by its number: whole items.
pub type Sink<'a> = dyn FnMut(usize, OutData<'_>) -> Result<()> + 'a;

/// An open file of another format.
pub trait Source {
    /// Its arrays, in the order of their numbers.
    fn arrays(&self) -> Vec<Array>;

    /// Passes all values to `sink`, those of each array in order, a few MiB at a time.
    ///
    /// # Errors
    /// [`latent_align_stages::Error::Input`] for a file that is damaged or holds what cannot be converted; those of
    /// `sink`.
    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()>;

    /// What users should know about the conversion.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of its first and its last item, if each is a file.
    fn ends(&self) -> Option<[String; 2]> {
        None
    }
}
