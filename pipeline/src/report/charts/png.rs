//! Figures as PNG, for slides and mail.

use super::figure::Figure;
use anyhow::{Context as _, Result, bail};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// PNG pixels per SVG pixel.
const ZOOM: f32 = 2.0;

/// Paints figures with the fonts of this machine.
pub struct Painter {
    options: Options<'static>,
}

impl Painter {
    /// A painter.
    ///
    /// # Errors
    /// The machine has no fonts for labels.
    pub fn new() -> Result<Self> {
        let mut options = Options::default();
        let fonts = options.fontdb_mut();
        fonts.load_system_fonts();
        // only some machines map `sans-serif` to one of their fonts
        let wanted = [
            "Helvetica",
            "Arial",
            "DejaVu Sans",
            "Liberation Sans",
            "Noto Sans",
        ];
        let families: Vec<String> = fonts
            .faces()
            .flat_map(|face| face.families.iter().map(|f| f.0.clone()))
            .collect();
        let found = wanted
            .iter()
            .find(|name| families.iter().any(|f| f == *name));
        let Some(sans) = found.map(|n| (*n).to_owned()).or(families.first().cloned()) else {
            bail!(
                "this machine has no fonts, and a PNG without labels is of no use; install some \
                 (Debian: `apt-get install fonts-dejavu-core`), or use the SVG files, which need \
                 none"
            );
        };
        fonts.set_sans_serif_family(sans);
        Ok(Self { options })
    }

    /// `figure` as the bytes of a PNG.
    ///
    /// # Errors
    /// The SVG cannot be rendered.
    pub fn paint(&self, figure: &Figure) -> Result<Vec<u8>> {
        let tree = Tree::from_str(&figure.file(), &self.options)?;
        let size = tree.size().to_int_size();
        let size = size.scale_by(ZOOM).context("it has no size")?;
        let mut pixels = Pixmap::new(size.width(), size.height()).context("it is too large")?;
        resvg::render(
            &tree,
            Transform::from_scale(ZOOM, ZOOM),
            &mut pixels.as_mut(),
        );
        Ok(pixels.encode_png()?)
    }
}
