use latent_align_kernels::*;
use std::time::Instant;
fn main() {
    for (m, k, n) in [
        (256, 256, 256),
        (1024, 256, 256),
        (256, 1024, 1024),
        (1024, 1024, 1024),
        (4096, 1024, 1024),
        (64, 1024, 3072),
    ] {
        let a = vec![1f32; m * k];
        let b = vec![1f32; k * n];
        let mut c = vec![0f32; m * n];
        let at = vec![1f32; m * k];
        for (name, x, y) in [
            ("nn", Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
            (
                "nt",
                Matrix::new(&a, m, k),
                Matrix::new(&b, n, k).transposed(),
            ),
            (
                "tn",
                Matrix::new(&at, k, m).transposed(),
                Matrix::new(&b, k, n),
            ),
        ] {
            let mut best = f64::MAX;
            for _ in 0..20 {
                let t = Instant::now();
                product(x, y, &mut c);
                best = best.min(t.elapsed().as_secs_f64());
            }
            print!(
                "{m} {k} {n} {name}: {:.0} GF/s   ",
                2.0 * m as f64 * n as f64 * k as f64 / best / 1e9
            );
        }
        println!();
    }
}
