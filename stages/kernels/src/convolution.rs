//! Channels-last image convolutions, [images, height, width, channels], as matrix products.
//!
//! The windows of an image are the rows of a matrix (im2col) that is never stored as a whole: each product packs
//! only the part it works on. A transposed convolution of stride s is s x s products, one per offset of the output
//! pixel modulo s: windows of equal offset contain the same taps of the kernel.

mod image;
mod windows;

use crate::activation::silu_and_slope;
use crate::fresh::Fresh;
use crate::level::for_each_level;
use crate::matmul::{
    AddBias, BiasSilu, InOrder, Left, Matrix, Place, Plain, Run, fill, long_sums, product,
};
use crate::parallel::*;
use crate::shared::Shared;
pub use image::Image;
use std::mem::MaybeUninit;
use windows::{Windows, runs};

/// A convolution from fine images to coarse ones; with the same weights, the transposed convolution maps back. The
/// window of a coarse pixel (y, x) starts at the fine pixel (stride y - padding, stride x - padding).
///
/// Weights are [coarse channels, fine channels, kernel, kernel], as both kinds of layer store them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    pub fine: Image,
    pub coarse: Image,
    /// Height and width of a window; at least the stride.
    pub kernel: usize,
    /// Distance between neighbouring windows, in pixels.
    pub stride: usize,
    /// Zero padding of the fine image, in pixels.
    pub padding: usize,
}

/// Operation after a convolution.
#[derive(Clone, Copy)]
pub enum After<'a> {
    /// Nothing.
    Nothing,
    /// A bias per channel.
    Bias(&'a [f32]),
    /// A bias, then SiLU; the flag says whether the derivative of SiLU is kept.
    BiasSilu(&'a [f32], bool),
}

impl Convolution {
    /// `fine` [n, H, W, C] -> coarse [n, h, w, O], and the derivative of SiLU at each element if it is kept.
    pub fn down(&self, fine: &[f32], weight: &[f32], after: After) -> (Vec<f32>, Vec<f32>) {
        self.check(weight, after, self.coarse);
        let taps = self.kernel * self.kernel;
        let weight = reorder(
            weight,
            [self.coarse.channels, self.fine.channels, taps],
            [0, 2, 1],
        );
        let columns = taps * self.fine.channels;
        let right = Matrix::new(&weight, self.coarse.channels, columns).transposed();
        let runs = self.runs();
        let left = self.windows(fine, &runs);
        let rows = fine.len() / self.fine.elements() * self.coarse.pixels();
        finished(rows, self.coarse.channels, after, |out, epilogue| {
            epilogue.fill(left, right, out, InOrder);
        })
    }

    /// Transposed convolution, which is also the gradient of [`Self::down`] with respect to its input: `coarse` [n,
    /// h, w, O] -> fine [n, H, W, C], and the derivative of SiLU at each element if it is kept.
    pub fn up(&self, coarse: &[f32], weight: &[f32], after: After) -> (Vec<f32>, Vec<f32>) {
        self.check(weight, after, self.fine);
        let images = coarse.len() / self.coarse.elements();
        let (from, to) = (self.coarse.channels, self.fine.channels);
        let taps = self.kernel * self.kernel;
        if taps * to <= FEW {
            return self.scatter(coarse, weight, after);
        }
        let weight = reorder(weight, [from, to, taps], [2, 0, 1]); // [taps, O, C]
        finished(images * self.fine.pixels(), to, after, |out, epilogue| {
            for y in 0..self.stride.min(self.fine.height) {
                for x in 0..self.stride.min(self.fine.width) {
                    let (down, across) = (self.taps_of(y), self.taps_of(x));
                    let runs = runs(&down, &across, from);
                    let right: Vec<f32> = (down.iter())
                        .flat_map(|(row, _)| across.iter().map(move |(column, _)| (row, column)))
                        .flat_map(|(row, column)| {
                            let tap = row * self.kernel + column;
                            &weight[tap * from * to..][..from * to]
                        })
                        .copied()
                        .collect();
                    let grid = [
                        (self.fine.height - y).div_ceil(self.stride),
                        (self.fine.width - x).div_ceil(self.stride),
                    ];
                    let left = Windows::new(coarse, self.coarse, grid, 1, &runs);
                    let right = Matrix::new(&right, right.len() / to, to);
                    let place = Apart {
                        grid,
                        first: [y, x],
                        stride: self.stride,
                        size: [self.fine.height, self.fine.width],
                    };
                    epilogue.fill(left, right, out, place);
                }
            }
        })
    }

    /// [`Self::up`] for fine images with so few channels that its products would be mostly padding. One product
    /// computes all taps of all coarse pixels; their windows are then summed.
    fn scatter(&self, coarse: &[f32], weight: &[f32], after: After) -> (Vec<f32>, Vec<f32>) {
        let (from, to) = (self.coarse.channels, self.fine.channels);
        let taps = self.kernel * self.kernel;
        let weight = reorder(weight, [from, to, taps], [0, 2, 1]); // [O, taps C]
        let windows = product(
            Matrix::new(coarse, coarse.len() / from, from),
            Matrix::new(&weight, from, taps * to),
        );
        let (size, columns) = (self.fine.elements(), self.coarse.pixels() * taps * to);
        let images = coarse.len() / self.coarse.elements();
        let keep = matches!(after, After::BiasSilu(_, true));
        let mut out = vec![0.0; images * size];
        let mut slope = vec![0.0; if keep { out.len() } else { 0 }];
        let slopes = Shared::new(&mut slope);
        (out.par_chunks_exact_mut(size).enumerate()).for_each(|(image, out)| {
            sum_windows(*self, &windows[image * columns..][..columns], out);
            let kept = if keep { size } else { 0 };
            // SAFETY: each image has its own part.
            finish_pixels(after, out, unsafe { slopes.part(image * kept, kept) });
        });
        (out, slope)
    }

    /// Gradient with respect to the weights: of a convolution of `fine` [n, H, W, C] whose output has the gradient
    /// `coarse` [n, h, w, O], or of a transposed convolution of `coarse` whose output has the gradient `fine`.
    pub fn weight_gradient(&self, fine: &[f32], coarse: &[f32]) -> Vec<f32> {
        let (runs, taps) = (self.runs(), self.kernel * self.kernel);
        let windows = self.windows(fine, &runs);
        let left = Matrix::new(coarse, windows.rows(), self.coarse.channels).transposed();
        let room = PARTS_NUMBERS / (left.rows() * windows.columns());
        let parts = windows.rows().div_ceil(WINDOWS).min(PARTS).min(room.max(1));
        let out = long_sums(left, windows, parts);
        let (of_coarse, of_fine) = (self.coarse.channels, self.fine.channels);
        reorder(&out, [of_coarse, taps, of_fine], [0, 2, 1])
    }

    /// Panics on inconsistent sizes of images, weights or bias.
    fn check(&self, weight: &[f32], after: After, to: Image) {
        assert!(
            self.stride > 0 && self.kernel >= self.stride,
            "pixels that no window reaches"
        );
        assert!(
            self.fine.elements() > 0 && self.coarse.elements() > 0,
            "images of no numbers"
        );
        let channels = self.coarse.channels * self.fine.channels;
        assert_eq!(
            weight.len(),
            channels * self.kernel * self.kernel,
            "weights of other sizes"
        );
        if let After::Bias(bias) | After::BiasSilu(bias, _) = after {
            assert_eq!(bias.len(), to.channels, "a bias of another size");
        }
    }

    fn runs(&self) -> Vec<windows::Run> {
        let taps: Vec<(usize, isize)> = (0..self.kernel)
            .map(|tap| (tap, tap as isize - self.padding as isize))
            .collect();
        runs(&taps, &taps, self.fine.channels)
    }

    /// The windows of fine images, one per coarse pixel.
    fn windows<'a>(&self, fine: &'a [f32], runs: &'a [windows::Run]) -> Windows<'a> {
        let grid = [self.coarse.height, self.coarse.width];
        Windows::new(fine, self.fine, grid, self.stride, runs)
    }

    /// Taps along one axis that reach fine pixels whose position is `offset` modulo the stride, from left to right,
    /// and the distance of each tap's coarse pixel from the one whose window begins there.
    fn taps_of(&self, offset: usize) -> Vec<(usize, isize)> {
        let stride = self.stride as isize;
        (0..self.kernel)
            .rev()
            .map(|tap| (tap, (offset + self.padding) as isize - tap as isize))
            .filter(|(_, distance)| distance.rem_euclid(stride) == 0)
            .map(|(tap, distance)| (tap, distance.div_euclid(stride)))
            .collect()
    }
}

/// Windows per part of a weight gradient's sum, and the maximum number of parts.
const WINDOWS: usize = 2048;
const PARTS: usize = 16;
/// Maximum number of elements in all parts together (16 MiB).
const PARTS_NUMBERS: usize = 4 << 20;
/// A transposed convolution with at most this many elements per window is one product whose windows are then
/// summed.
const FEW: usize = 32;

for_each_level! {
    /// Adds the windows [coarse pixels, kernel, kernel, C] of an image to its fine pixels [H, W, C].
    fn sum_windows(of: Convolution, windows: &[f32], out: &mut [f32]) {
        let Image { height, width, channels } = of.fine;
        let row = of.kernel * channels;
        for (pixel, window) in windows.chunks_exact(of.kernel * row).enumerate() {
            let (y, x) = (pixel / of.coarse.width, pixel % of.coarse.width);
            // the part of the window's row inside the image
            let first = (x * of.stride * channels) as isize - (of.padding * channels) as isize;
            let from = ((-first).max(0) as usize).min(row);
            let to = ((width * channels) as isize - first).clamp(from as isize, row as isize) as usize;
            for (tap, window) in window.chunks_exact(row).enumerate() {
                let Some(y) = (y * of.stride + tap).checked_sub(of.padding) else { continue };
                if y < height && from < to {
                    let start = (y * width * channels + from) as isize + first;
                    let out = &mut out[start as usize..][..to - from];
                    let window = &window[from..to];
                    for i in 0..out.len().min(window.len()) {
                        out[i] += window[i];
                    }
                }
            }
        }
    }
}

for_each_level! {
    /// Applies `after` to pixels [n, C]; `slope` has the same length if the derivative is kept.
    fn finish_pixels(after: After, pixels: &mut [f32], slope: &mut [f32]) {
        match after {
            After::Nothing => {}
            After::Bias(bias) => {
                for pixel in pixels.chunks_exact_mut(bias.len()) {
                    for (value, bias) in pixel.iter_mut().zip(bias) {
                        *value += bias;
                    }
                }
            }
            After::BiasSilu(bias, keep) => {
                for (i, value) in pixels.iter_mut().enumerate() {
                    let (silu, of_silu) = silu_and_slope(*value + bias[i % bias.len()]);
                    *value = silu;
                    if keep {
                        slope[i] = of_silu;
                    }
                }
            }
        }
    }
}

/// Pixels at distance `stride`, starting at `first`, in images of `size`.
#[derive(Clone, Copy)]
struct Apart {
    /// Rows and columns of these pixels.
    grid: [usize; 2],
    first: [usize; 2],
    stride: usize,
    size: [usize; 2],
}

impl Place for Apart {
    #[inline(always)]
    fn run(&self, row: usize) -> Run {
        let (rest, x) = (row / self.grid[1], row % self.grid[1]);
        let (image, y) = (rest / self.grid[0], rest % self.grid[0]);
        let y = image * self.size[0] + y * self.stride + self.first[0];
        Run {
            first: y * self.size[1] + x * self.stride + self.first[1],
            step: self.stride,
            rows: self.grid[1] - x,
        }
    }
}

/// `After` in the form that products take.
enum Finish<'a> {
    Nothing(Plain),
    Bias(AddBias<'a>),
    Silu(BiasSilu<'a>),
}

impl Finish<'_> {
    /// [`fill`] with this epilogue.
    fn fill<L: Left, P: Place>(
        &self,
        left: L,
        right: Matrix,
        out: Shared<MaybeUninit<f32>>,
        place: P,
    ) {
        match self {
            Self::Nothing(epilogue) => fill(left, right, out, place, epilogue),
            Self::Bias(epilogue) => fill(left, right, out, place, epilogue),
            Self::Silu(epilogue) => fill(left, right, out, place, epilogue),
        }
    }
}

/// Output [rows, columns] filled by `products` with `after` applied, and the derivatives it keeps.
fn finished(
    rows: usize,
    columns: usize,
    after: After,
    products: impl Fn(Shared<MaybeUninit<f32>>, &Finish),
) -> (Vec<f32>, Vec<f32>) {
    let keep = matches!(after, After::BiasSilu(_, true));
    let mut out = Fresh::new(rows * columns);
    let mut slope = Fresh::new(if keep { rows * columns } else { 0 });
    if rows > 0 {
        let finish = match after {
            After::Nothing => Finish::Nothing(Plain),
            After::Bias(bias) => Finish::Bias(AddBias(bias)),
            After::BiasSilu(bias, _) => Finish::Silu(BiasSilu {
                bias,
                slope: keep.then(|| Shared::new(slope.room())),
            }),
        };
        products(Shared::new(out.room()), &finish);
    }
    // SAFETY: the products cover all rows and finish every element.
    unsafe { (out.written(), slope.written()) }
}

/// Permutes the axes of `values` of `shape` into the order `axes`.
fn reorder(values: &[f32], shape: [usize; 3], axes: [usize; 3]) -> Vec<f32> {
    let strides = [shape[1] * shape[2], shape[2], 1];
    let [a, b, c] = axes.map(|axis| (shape[axis], strides[axis]));
    let mut out = Vec::with_capacity(values.len());
    for i in 0..a.0 {
        for j in 0..b.0 {
            let from = &values[i * a.1 + j * b.1..];
            out.extend((0..c.0).map(|k| from[k * c.1]));
        }
    }
    out
}

/// Transposes each image of `values`: [n, rows, columns] -> [n, columns, rows].
pub fn turn_images(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let size = rows * columns;
    assert!(
        values.len().is_multiple_of(size),
        "images that are not whole"
    );
    let mut out = Fresh::new(values.len());
    (out.room().par_chunks_exact_mut(size.max(1)).enumerate()).for_each(|(image, out)| {
        let from = &values[image * size..][..size];
        for (column, out) in out.chunks_exact_mut(rows).enumerate() {
            for (row, out) in out.iter_mut().enumerate() {
                out.write(from[row * columns + column]);
            }
        }
    });
    // SAFETY: every element of each image is written.
    unsafe { out.written() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::numbers;

    /// Visits each term of the convolution's sums: fine index, coarse index, index of the weight.
    fn terms(of: Convolution, images: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let Convolution {
            fine,
            coarse,
            kernel,
            ..
        } = of;
        for (image, y, x) in (0..images * coarse.pixels()).map(|i| {
            (
                i / coarse.pixels(),
                i / coarse.width % coarse.height,
                i % coarse.width,
            )
        }) {
            for (row, column) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
                let (fy, fx) = (y * of.stride + row, x * of.stride + column);
                let inside = |f: usize, size| (of.padding..size + of.padding).contains(&f);
                if !inside(fy, fine.height) || !inside(fx, fine.width) {
                    continue;
                }
                let (fy, fx) = (fy - of.padding, fx - of.padding);
                let from = ((image * fine.height + fy) * fine.width + fx) * fine.channels;
                let to = ((image * coarse.height + y) * coarse.width + x) * coarse.channels;
                for (o, c) in (0..coarse.channels * fine.channels)
                    .map(|i| (i / fine.channels, i % fine.channels))
                {
                    let weight = ((o * fine.channels + c) * kernel + row) * kernel + column;
                    visit(from + c, to + o, weight);
                }
            }
        }
    }

    fn cases() -> Vec<(Convolution, usize)> {
        let image = |height, width, channels| Image {
            height,
            width,
            channels,
        };
        let of = |fine, coarse, kernel, stride, padding| Convolution {
            fine,
            coarse,
            kernel,
            stride,
            padding,
        };
        let mut cases = vec![
            (of(image(5, 4, 1), image(3, 2, 2), 3, 2, 1), 2),
            (of(image(1, 1, 3), image(1, 1, 2), 3, 2, 1), 1),
            (of(image(4, 3, 2), image(4, 3, 3), 3, 1, 1), 1),
        ];
        if !cfg!(miri) {
            cases.extend([
                (of(image(4, 4, 5), image(2, 2, 3), 3, 2, 1), 0),
                (of(image(14, 14, 32), image(7, 7, 64), 3, 2, 1), 11),
                (of(image(28, 27, 1), image(14, 14, 33), 3, 2, 1), 5),
                (of(image(9, 16, 70), image(5, 8, 40), 3, 2, 1), 3), // several parts of the sums
                (of(image(8, 8, 3), image(2, 2, 5), 4, 4, 0), 4),
                (of(image(40, 38, 2), image(20, 19, 3), 3, 2, 1), 11), // weights in three parts of different lengths
            ]);
        }
        cases
    }

    fn close(found: &[f32], exact: &[f64]) {
        assert_eq!(found.len(), exact.len());
        let size = (exact.iter().map(|x| x * x).sum::<f64>() / exact.len().max(1) as f64).sqrt();
        for (found, exact) in found.iter().zip(exact) {
            let error = (f64::from(*found) - exact).abs();
            assert!(error < 1e-5 * size.max(1e-2), "{found} {exact} of {size}");
        }
    }

    /// Fails if a window is off by a pixel, a border is not zero, or an offset uses the wrong taps.
    #[test]
    fn sums_are_those_of_the_definition_in_double_precision() {
        for (of, images) in cases() {
            let weights = of.coarse.channels * of.fine.channels * of.kernel * of.kernel;
            let fine = numbers(images * of.fine.elements(), 1);
            let coarse = numbers(images * of.coarse.elements(), 2);
            let weight = numbers(weights, 3);
            let bias = numbers(of.coarse.channels, 4);
            let mut down: Vec<f64> = (coarse.iter().enumerate())
                .map(|(i, _)| f64::from(bias[i % of.coarse.channels]))
                .collect();
            let (mut up, mut gradient) = (vec![0.0; fine.len()], vec![0.0; weights]);
            terms(of, images, |f, c, w| {
                let [x, y, k] = [fine[f], coarse[c], weight[w]].map(f64::from);
                down[c] += x * k;
                up[f] += y * k;
                gradient[w] += x * y;
            });
            close(&of.down(&fine, &weight, After::Bias(&bias)).0, &down);
            close(&of.up(&coarse, &weight, After::Nothing).0, &up);
            close(&of.weight_gradient(&fine, &coarse), &gradient);
            let of_fine = numbers(of.fine.channels, 5);
            let with_bias: Vec<f64> = (up.iter().enumerate())
                .map(|(i, x)| x + f64::from(of_fine[i % of.fine.channels]))
                .collect();
            close(
                &of.up(&coarse, &weight, After::Bias(&of_fine)).0,
                &with_bias,
            );

            let silu = |x: &f64| x / (1.0 + (-x).exp());
            let (found, slope) = of.down(&fine, &weight, After::BiasSilu(&bias, true));
            close(&found, &down.iter().map(silu).collect::<Vec<_>>());
            let of_silu = |x: &f64| (silu(&(x + 1e-5)) - silu(&(x - 1e-5))) / 2e-5;
            close(&slope, &down.iter().map(of_silu).collect::<Vec<_>>());
            let (found, slope) = of.up(&coarse, &weight, After::BiasSilu(&of_fine, true));
            close(&found, &with_bias.iter().map(silu).collect::<Vec<_>>());
            close(&slope, &with_bias.iter().map(of_silu).collect::<Vec<_>>());
        }
    }

    #[test]
    #[cfg(not(miri))] // Miri runs one thread only
    fn the_number_of_threads_does_not_change_a_bit() {
        let (of, images) = cases()[4];
        let fine = numbers(images * of.fine.elements(), 1);
        let coarse = numbers(images * of.coarse.elements(), 2);
        let weight = numbers(of.coarse.channels * of.fine.channels * 9, 3);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let down = of.down(&fine, &weight, After::Nothing).0;
                let up = of.up(&coarse, &weight, After::Nothing).0;
                (down, up, of.weight_gradient(&fine, &coarse))
            })
        };
        let one = on(1);
        assert!(one == on(2) && one == on(7));
        // code in a rayon pool runs alone; outside, helpers take part
        let down = of.down(&fine, &weight, After::Nothing).0;
        let up = of.up(&coarse, &weight, After::Nothing).0;
        assert!(one == (down, up, of.weight_gradient(&fine, &coarse)));
    }

    #[test]
    fn a_turned_image_is_its_transpose() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(turn_images(&values, 1, 3), values);
        assert_eq!(turn_images(&values, 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}
